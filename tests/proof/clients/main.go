// SPDX-License-Identifier: Apache-2.0
// Computes and allocates for twelve seconds, and sends to the server that it is told.
package main

import (
	"os"
	"time"

	"github.com/grafana/pyroscope-go"
)

//go:noinline
func hotGo(n int) (s int) {
	for i := 0; i < n; i++ {
		s += i * i
	}
	return
}

var kept [][]byte

func main() {
	p, err := pyroscope.Start(pyroscope.Config{ApplicationName: "go-pyroscope", ServerAddress: os.Args[1], UploadRate: 4 * time.Second})
	if err != nil {
		panic(err)
	}
	for end := time.Now().Add(12 * time.Second); time.Now().Before(end); {
		hotGo(1000000)
		kept = append(kept, make([]byte, 1000))
	}
	p.Stop()
}
