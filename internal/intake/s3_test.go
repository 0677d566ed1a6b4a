package intake

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/faults"
	"github.com/filigrane/filigrane/internal/store/s3"
	"github.com/filigrane/filigrane/internal/store/s3test"
)

// TestFaults takes a bucket in while one request in twenty suffers: the registry is that of an undisturbed run, and nobody
// is called missing or refused who is there. (Of a listing that is not up to date nothing better can be known: left out.)
func TestFaults(t *testing.T) {
	const seed = 20261124
	server := s3test.Start(t, s3test.Config{})
	opt := server.Bucket(t)
	filled := get[*s3.Store](t)(s3.Open(ctx, opt))
	defer filled.Close()
	for i := range 150 {
		of := i - i%10/9 // every tenth is a copy
		data := picture(of, owner(fmt.Sprintf("Owner %d", of%5)), mining([]string{"DMI-ALLOWED", "DMI-PROHIBITED"}[of%2]))
		must(t, store.PutBytes(ctx, filled, fmt.Sprintf("%d/%03d.jpg", i%3, i), append(data, make([]byte, of%4*100_000)...)))
	}
	take := func(b *bank, opt s3.Options) Report {
		t.Helper()
		bucket := get[*s3.Bucket](t)(s3.OpenBucket(ctx, opt))
		defer bucket.Close()
		rep, err := Run(ctx, bucket, b.reg, ours, b.opt)
		must(t, err)
		return rep
	}
	calm, disturbed := newBank(t, places[0].place(t)), newBank(t, places[0].place(t))
	want := take(calm, opt)

	kinds := slices.DeleteFunc(slices.Clone(faults.Kinds), func(k faults.Kind) bool { return k == faults.Stale })
	proxy := get[*faults.Proxy](t)(faults.New(server.Endpoint, seed, 0.05, kinds...))
	front := httptest.NewServer(proxy)
	defer front.Close()
	opt.Endpoint = front.URL
	opt.Sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	got := take(disturbed, opt)
	same(t, "report", counts(got), counts(want))
	if diff := cmp.Diff(strings.Split(content(t, calm.reg), "\n"), strings.Split(content(t, disturbed.reg), "\n")); diff != "" {
		t.Errorf("undisturbed -, disturbed +: %s", diff)
	}
	if again := take(disturbed, opt); !again.WroteNothing() {
		t.Errorf("the same again wrote %+v", again.Written)
	}
	t.Logf("%v", proxy)
}
