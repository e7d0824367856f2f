package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseBenchmarks(t *testing.T) {
	const out = `goos: linux
pkg: example.com/policy
BenchmarkDecide/policies=1/other=accounts-2         	   18310	      8090 ns/op	      1662 p50-ns	    1024 B/op	      12 allocs/op
BenchmarkDecide/policies=1/other=accounts-2         	   33447	      3481 ns/op	      1773.5 p50-ns	    1024 B/op	      12 allocs/op
{"level":"info","msg":"Benchmark of something else"}
BenchmarkNormalise/40_KB_Deployment,_an_image-2 	     100	   2354978 ns/op	  36.08 MB/s
BenchmarkSplit
ok  	example.com/policy	18.553s
`
	all, err := parseBenchmarks([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	want := []*benchmark{
		{"Decide/policies=1/other=accounts", map[string][]float64{
			"ns/op": {8090, 3481}, "p50-ns": {1662, 1773.5}, "B/op": {1024, 1024}, "allocs/op": {12, 12},
		}},
		{"Normalise/40 KB Deployment, an image", map[string][]float64{"ns/op": {2354978}, "MB/s": {36.08}}},
	}
	if diff := cmp.Diff(want, all, cmp.AllowUnexported(benchmark{})); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if got := all[0].took(); got[0] != 1662*time.Nanosecond {
		t.Errorf("it took %s, which is not the median of single operations", got[0])
	}
	if got := all[1].took(); got[0] != 2354978*time.Nanosecond {
		t.Errorf("it took %s, which is not the mean", got[0])
	}
	if got := all[1].median("allocs/op"); got >= 0 {
		t.Errorf("%v allocations of a benchmark that does not say", got)
	}
	for _, bad := range []string{"", "BenchmarkA-2 1 many ns/op"} {
		if _, err := parseBenchmarks([]byte(bad)); err == nil {
			t.Errorf("%q is read as benchmarks", bad)
		}
	}
}
