// SPDX-License-Identifier: Apache-2.0

// The calls that Pyroscope's profilecli makes, with connect-go as it does: profilecli URL TOKEN PROFILE
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strings"
	"time"

	"connectrpc.com/connect"
	"known/pushv1"
	"known/pushv1/pushv1connect"
	"known/querierv1"
	"known/querierv1/querierv1connect"
)

const cpu = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"

var failed bool

func check(what string, err error) bool {
	if err != nil {
		fmt.Println(what, "failed:", err)
		failed = true
	}
	return err == nil
}

type withToken struct{ token string }

func (t withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r.SetBasicAuth("user", t.token)
	return http.DefaultTransport.RoundTrip(r)
}

func stacks(p *querierv1.Profile) string {
	names := map[uint64]string{}
	locations := map[uint64]string{}
	for _, f := range p.Function {
		names[f.Id] = p.StringTable[f.Name]
	}
	for _, l := range p.Location {
		locations[l.Id] = names[l.Line[0].FunctionId]
	}
	sums := map[string]int64{}
	for _, s := range p.Sample {
		var path []string
		for i := len(s.LocationId) - 1; i >= 0; i-- {
			path = append(path, locations[s.LocationId[i]])
		}
		sums[strings.Join(path, ";")] += s.Value[0]
	}
	var lines []string
	for k, v := range sums {
		lines = append(lines, fmt.Sprintf("%s=%d", k, v))
	}
	sort.Strings(lines)
	return strings.Join(lines, " ")
}

func ready(client *http.Client, url string) {
	answer, err := client.Get(url + "/ready")
	if !check("ready", err) {
		return
	}
	body, _ := io.ReadAll(answer.Body)
	fmt.Printf("ready: %d %s", answer.StatusCode, body)
}

func upload(client *http.Client, url, path string, options ...connect.ClientOption) {
	data, err := os.ReadFile(path)
	if !check("read", err) {
		return
	}
	label := func(name, value string) *pushv1.LabelPair { return &pushv1.LabelPair{Name: name, Value: value} }
	_, err = pushv1connect.NewPusherServiceClient(client, url, options...).Push(context.Background(), connect.NewRequest(&pushv1.PushRequest{
		Series: []*pushv1.RawProfileSeries{{
			Labels:  []*pushv1.LabelPair{label("__name__", "process_cpu"), label("service_name", "profilecli-upload"), label("env", "proof")},
			Samples: []*pushv1.RawSample{{ID: fmt.Sprint(time.Now().UnixNano()), RawProfile: data}},
		}}}))
	if check("upload", err) {
		fmt.Println("upload: ok")
	}
}

func queries(client *http.Client, url string, options ...connect.ClientOption) {
	ctx := context.Background()
	q := querierv1connect.NewQuerierServiceClient(client, url, options...)
	end := time.Now().UnixMilli() + 60_000
	start := end - 3_600_000
	selector := `{service_name="profilecli-upload"}`

	r, err := q.SelectMergeStacktraces(ctx, connect.NewRequest(&querierv1.SelectMergeStacktracesRequest{
		ProfileTypeID: cpu, LabelSelector: selector, Start: start, End: end, Format: 4}))
	if check("query profile", err) {
		fmt.Println("query profile:", stacks(r.Msg.Pprof.Profile))
	}
	m, err := q.SelectMergeProfile(ctx, connect.NewRequest(&querierv1.SelectMergeProfileRequest{
		ProfileTypeID: cpu, LabelSelector: selector, Start: start, End: end}))
	if check("query profile, as older releases do", err) {
		fmt.Println("query profile, as older releases do:", stacks(m.Msg))
	}
	s, err := q.Series(ctx, connect.NewRequest(&querierv1.SeriesRequest{Matchers: []string{"{}"}, Start: start, End: end}))
	if check("query series", err) {
		for _, set := range s.Msg.LabelsSet {
			fmt.Println("query series:", set.Labels)
		}
	}
	t, err := q.SelectSeries(ctx, connect.NewRequest(&querierv1.SelectSeriesRequest{ProfileTypeID: cpu, LabelSelector: "{}",
		Start: start, End: end, Step: float64(end-start) / 1000, GroupBy: []string{"service_name"}}))
	if check("query top", err) {
		for _, one := range t.Msg.Series {
			total := 0.0
			for _, p := range one.Points {
				total += p.Value
			}
			fmt.Println("query top:", one.Labels[0].Value, total)
		}
	}
	n, err := q.LabelNames(ctx, connect.NewRequest(&querierv1.LabelNamesRequest{Matchers: []string{selector}, Start: start, End: end}))
	if check("query label-values-cardinality", err) {
		fmt.Println("label names:", len(n.Msg.Names))
	}
	_, err = q.SelectMergeProfile(ctx, connect.NewRequest(&querierv1.SelectMergeProfileRequest{ProfileTypeID: "x"}))
	fmt.Println("a wrong type:", connect.CodeOf(err))
	_, err = q.OfALaterRelease(ctx, connect.NewRequest(&querierv1.Unknown{}))
	fmt.Println("a later release's method:", connect.CodeOf(err))
}

func main() {
	url, token, path := os.Args[1], os.Args[2], os.Args[3]
	client := &http.Client{Transport: withToken{token}}

	ready(client, url)
	upload(client, url, path)
	upload(client, url, path, connect.WithSendGzip())
	for name, options := range map[string][]connect.ClientOption{"proto": nil, "gzip": {connect.WithSendGzip()}, "json": {connect.WithProtoJSON()}} {
		fmt.Println("--", name)
		queries(client, url, options...)
	}
	if failed {
		os.Exit(1)
	}
}
