// SPDX-License-Identifier: Apache-2.0

// Sends a profile with the OpenTelemetry Collector's otlp exporter: collector TARGET COMPRESSION
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/exporter/xexporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func made() pprofile.Profiles {
	all := pprofile.NewProfiles()
	d := all.Dictionary()
	str := func(s string) int32 { d.StringTable().Append(s); return int32(d.StringTable().Len() - 1) }
	str("")
	d.MappingTable().AppendEmpty()
	d.LocationTable().AppendEmpty()
	d.FunctionTable().AppendEmpty()
	d.LinkTable().AppendEmpty()
	d.AttributeTable().AppendEmpty()
	d.StackTable().AppendEmpty()
	stack := d.StackTable().AppendEmpty()
	for _, name := range []string{"hotCollector", "main"} {
		f := d.FunctionTable().AppendEmpty()
		f.SetNameStrindex(str(name))
		l := d.LocationTable().AppendEmpty()
		l.Lines().AppendEmpty().SetFunctionIndex(int32(d.FunctionTable().Len() - 1))
		stack.LocationIndices().Append(int32(d.LocationTable().Len() - 1))
	}
	r := all.ResourceProfiles().AppendEmpty()
	r.Resource().Attributes().PutStr("service.name", "go-collector")
	p := r.ScopeProfiles().AppendEmpty().Profiles().AppendEmpty()
	p.SampleType().SetTypeStrindex(str("samples"))
	p.SampleType().SetUnitStrindex(str("count"))
	p.PeriodType().SetTypeStrindex(str("cpu"))
	p.PeriodType().SetUnitStrindex(str("nanoseconds"))
	p.SetPeriod(10_000_000)
	p.SetTime(pcommon.NewTimestampFromTime(time.Now().Add(-time.Second)))
	p.SetDurationNano(1_000_000_000)
	s := p.Samples().AppendEmpty()
	s.SetStackIndex(1)
	s.Values().Append(7)
	return all
}

func main() {
	factory := otlpexporter.NewFactory()
	config := factory.CreateDefaultConfig().(*otlpexporter.Config)
	config.ClientConfig.Endpoint = os.Args[1]
	config.ClientConfig.TLS.Insecure = true
	config.ClientConfig.Compression = configcompression.Type(os.Args[2])
	settings := exportertest.NewNopSettings(factory.Type())
	exporter, err := factory.(xexporter.Factory).CreateProfiles(context.Background(), settings, config)
	must(err)
	must(exporter.Start(context.Background(), componenttest.NewNopHost()))
	must(exporter.ConsumeProfiles(context.Background(), made()))
	must(exporter.Shutdown(context.Background()))
}
