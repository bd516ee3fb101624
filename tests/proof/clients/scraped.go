// SPDX-License-Identifier: Apache-2.0

// Serves net/http/pprof and does what it says: most of its CPU time in hotGo, 64 KiB allocations in
// allocates, a mutex that is fought for.  Prints its address, then works until its standard input ends.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
	"sync"
	"time"
)

var (
	sink  []byte
	total uint64
	lock  sync.Mutex
)

//go:noinline
func hotGo(n int) {
	for i := 0; i < n; i++ {
		total = total*31 + uint64(i)
	}
}

//go:noinline
func allocates() { sink = make([]byte, 64<<10) }

//go:noinline
func fights() {
	lock.Lock()
	time.Sleep(time.Millisecond)
	lock.Unlock()
}

func main() {
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr())
	go http.Serve(listener, nil)
	go func() { io.Copy(io.Discard, os.Stdin); os.Exit(0) }()
	for i := 0; i < 2; i++ {
		go func() {
			for {
				fights()
			}
		}()
	}
	for {
		hotGo(1 << 22)
		for i := 0; i < 20; i++ {
			allocates()
		}
	}
}
