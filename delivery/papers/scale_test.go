package papers

import (
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"
)

// BenchmarkIndex writes the index of many pictures and reports the most of the heap that it took besides the manifest: one row
// group, whatever the number.
//
//	go test ./delivery/papers -tags nodynamic -run - -bench Index -benchtime 1x
func BenchmarkIndex(b *testing.B) {
	for _, n := range []int{100_000, 800_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := manyImages(n)
			all := func(each func(*Row) error) error {
				for i := range m.Images {
					r := rowOf(&m.Images[i], someTerms.LicenceURL)
					r.Caption = "A caption of some length about " + m.Images[i].SourcePath
					if err := each(&r); err != nil {
						return err
					}
				}
				return nil
			}
			for range b.N {
				for name, write := range map[string]func(io.Writer, func(func(*Row) error) error) error{"parquet": writeParquet, "csv": writeCSV} {
					before, size, began := heap(), &counter{}, time.Now()
					var most int64
					n := 0
					err := write(size, func(each func(*Row) error) error {
						return all(func(r *Row) error {
							if n++; n%20_000 == 19_999 {
								most = max(most, heap()-before)
							}
							return each(r)
						})
					})
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(most)/1e6, name+"-MB")
					b.ReportMetric(float64(size.n)/float64(n), name+"-B/row")
					b.ReportMetric(float64(time.Since(began).Microseconds())/float64(n), name+"-us/row")
				}
			}
			runtime.KeepAlive(m)
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
