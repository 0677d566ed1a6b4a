package papers

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/store"
)

func publicKey(t testing.TB) ed25519.PublicKey {
	return SigningKey(masterKey(t)).Public().(ed25519.PublicKey)
}

// TestPapers writes the papers of a real delivery and reads each as a stranger would.
func TestPapers(t *testing.T) {
	folder, spec, d := delivered(t)
	t.Run("Index", func(t *testing.T) { checkIndex(t, folder, spec, d) })
	t.Run("Receipt", func(t *testing.T) { checkReceipt(t, folder, d) })
	t.Run("Croissant", func(t *testing.T) { checkCroissant(t, folder, d) })
	t.Run("Verify", func(t *testing.T) { checkVerify(t, folder, spec) })
	t.Run("Again", func(t *testing.T) {
		before := contents(t, folder)
		if _, err := Write(context.Background(), openStore(t, folder), spec.Catalogue, someTerms, SigningKey(masterKey(t))); err != nil {
			t.Fatal(err)
		}
		if after := contents(t, folder); !reflect.DeepEqual(after, before) {
			t.Error("written twice they have other bytes")
		}
		again, err := delivery.Run(context.Background(), spec, nil, openStore(t, folder), nil)
		if err != nil || !again.AlreadyFinished {
			t.Errorf("with papers the delivery is not finished any more: %v", err)
		}
	})
	for key := range contents(t, folder) {
		text := string(read(t, filepath.Join(folder, key)))
		if slices.Contains(delivery.Papers(), key) && (strings.Contains(text, "number") || strings.Contains(text, hex.EncodeToString(masterKey(t).Bytes()))) {
			t.Errorf("%s holds more than it should", key)
		}
	}
}

func checkIndex(t *testing.T, folder string, spec delivery.Spec, d *delivery.Delivery) {
	data := read(t, filepath.Join(folder, parquetKey))
	got, err := parquet.Read[Row](bytes.NewReader(data), int64(len(data)))
	if err != nil || len(got) != len(d.Images) {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	lines, err := csv.NewReader(bytes.NewReader(read(t, filepath.Join(folder, csvKey)))).ReadAll()
	if err != nil || len(lines) != len(got)+1 || !slices.Equal(lines[0], csvHeader) {
		t.Fatalf("%v, %v", lines, err)
	}
	for i, r := range got {
		img := d.Images[i]
		w, _ := spec.Catalogue.Work(img.Work)
		want := Row{Key: string(img.Work), Shard: img.Shard, Extension: "png", SHA256: img.SHA256, Work: string(img.Work), Concepts: []string{string(img.Concepts[0].ID)}, ConceptNames: []string{"dogs | and \"more\""},
			Width: 256, Height: 256, Bytes: img.Bytes, PSNRDB: img.PSNRDB, SSIM: img.SSIM, ISCCImage: img.ISCCImage.String(), ISCCInstance: img.ISCCInstance.String(), Caption: w.Title, Licence: someTerms.LicenceURL}
		if !reflect.DeepEqual(r, want) {
			t.Errorf("row %d is %+v, want %+v", i, r, want)
		}
		if !slices.Equal(lines[i+1], want.record()) {
			t.Errorf("line %d is %q", i, lines[i+1])
		}
	}
}

// checkReceipt checks the signature by the DSSE specification's words, without the library that made it.
func checkReceipt(t *testing.T, folder string, d *delivery.Delivery) {
	text := read(t, filepath.Join(folder, ReceiptKey))
	var e struct {
		PayloadType, Payload string
		Signatures           []struct{ KeyID, Sig string }
	}
	if err := json.Unmarshal(text, &e); err != nil || len(e.Signatures) != 1 {
		t.Fatal(err)
	}
	payload, err1 := base64.StdEncoding.DecodeString(e.Payload)
	sig, err2 := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	signed := fmt.Sprintf("DSSEv1 %d %s %d %s", len(e.PayloadType), e.PayloadType, len(payload), payload)
	if err1 != nil || err2 != nil || !ed25519.Verify(publicKey(t), []byte(signed), sig) || e.PayloadType != "application/vnd.in-toto+json" || e.Signatures[0].KeyID != KeyID(publicKey(t)) {
		t.Errorf("the signature is wrong: %v, %v, %+v", err1, err2, e)
	}
	s, err := ParseReceipt(context.Background(), text, publicKey(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range s.Subject {
		h := sha256.Sum256(read(t, filepath.Join(folder, x.Name)))
		if x.Digest["sha256"] != hex.EncodeToString(h[:]) {
			t.Errorf("subject %+v", x)
		}
	}
	if n := len(d.Shards) + 2 + 5; len(s.Subject) != n || s.Predicate.Images != 3 || s.Predicate.Refused != 1 || s.Predicate.Published != "2026-11-23" || s.Type != "https://in-toto.io/Statement/v1" {
		t.Errorf("%d subjects, not %d; %+v", len(s.Subject), n, s.Predicate)
	}
	other := SigningKey(masterKey(t).Delivery(d.Parameters.Path)).Public().(ed25519.PublicKey)
	if _, err := ParseReceipt(context.Background(), text, other); !errors.Is(err, ErrNotSigned) {
		t.Errorf("another key: %v", err)
	}
}

func checkVerify(t *testing.T, folder string, spec delivery.Spec) {
	opt := Options{Public: publicKey(t), Required: true}
	opt.Keys = &spec.Keys
	v, err := Verify(context.Background(), openStore(t, folder), opt)
	if err != nil || !v.OK() || !v.Signed || v.Papers != 6 || v.Detected != 3 {
		t.Errorf("%+v, %+v, %v", v, v.Verification, err)
	}
	replace := func(key, old, new string) func(string) error {
		return func(f string) error {
			text := read(t, filepath.Join(f, key))
			if !bytes.Contains(text, []byte(old)) {
				t.Fatalf("%s has no %q", key, old)
			}
			return os.WriteFile(filepath.Join(f, key), bytes.Replace(text, []byte(old), []byte(new), 1), 0o666)
		}
	}
	remove := func(key string) func(string) error {
		return func(f string) error { return os.Remove(filepath.Join(f, key)) }
	}
	for name, c := range map[string]struct {
		do   func(folder string) error
		want []delivery.DifferenceKind
	}{
		"no receipt":         {remove(ReceiptKey), []delivery.DifferenceKind{ReceiptMissing}},
		"receipt forged":     {replace(ReceiptKey, `"payload": "ewog`, `"payload": "ewoJ`), []delivery.DifferenceKind{ReceiptNotSigned}},
		"no page":            {remove(pageKey), []delivery.DifferenceKind{PaperMissing, PaperContradicted}},
		"page edited":        {replace(pageKey, "<h1>", "<h1>Best "), []delivery.DifferenceKind{PaperContradicted, PaperDiffers}},
		"licence edited":     {replace(croissantKey, `"license": "https://bank`, `"license": "https://tank`), []delivery.DifferenceKind{PaperContradicted, PaperDiffers}},
		"croissant's hashes": {replace(croissantKey, `"sha256": "`, `"sha256": "0`), []delivery.DifferenceKind{PaperContradicted, PaperDiffers}},
		"statistics edited":  {replace(statisticsKey, `"refused": 1`, `"refused": 0`), []delivery.DifferenceKind{PaperContradicted, PaperContradicted, PaperDiffers}},
		"index row edited":   {replace(csvKey, ",256,256,", ",256,257,"), []delivery.DifferenceKind{PaperContradicted, PaperContradicted, PaperDiffers}},
		"caption edited":     {replace(csvKey, "two lines", "two words"), []delivery.DifferenceKind{PaperContradicted, PaperDiffers}},
		"index cut":          {func(f string) error { return os.Truncate(filepath.Join(f, parquetKey), 1000) }, []delivery.DifferenceKind{PaperContradicted, PaperContradicted, PaperDiffers}},
		"removals slipped in": {func(f string) error {
			return os.WriteFile(filepath.Join(f, removalsKey), []byte("{}\n"), 0o666)
		}, []delivery.DifferenceKind{PaperContradicted, PaperUnexpected}},
	} {
		to := t.TempDir()
		if err := errors.Join(os.CopyFS(to, os.DirFS(folder)), c.do(to)); err != nil {
			t.Fatal(err)
		}
		v, err := Verify(context.Background(), openStore(t, to), Options{Public: publicKey(t), Required: true})
		if err != nil {
			t.Fatal(err)
		}
		var got []delivery.DifferenceKind
		for _, x := range v.Differences {
			got = append(got, x.Kind)
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) || v.Signed {
			t.Errorf("%s: %+v, want %v; signed %v", name, v.Differences, c.want, v.Signed)
		}
	}
}

// cutting is a store that loses power: the n-th change and all after it fail, the first of them perhaps after being made.
type cutting struct {
	store.Store
	mu      sync.Mutex
	left    int
	persist bool
}

var errPower = errors.New("power cut")

func (c *cutting) change(do func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left--
	if c.left >= 0 || c.left == -1 && c.persist {
		if err := do(); err != nil {
			return err
		}
	}
	if c.left < 0 {
		return errPower
	}
	return nil
}

func (c *cutting) Put(ctx context.Context, key string, write func(io.Writer) error) error {
	return c.change(func() error { return c.Store.Put(ctx, key, write) })
}

func (c *cutting) Delete(ctx context.Context, key string) error {
	return c.change(func() error { return c.Store.Delete(ctx, key) })
}

// TestEveryWriteMayFail cuts the power at each change, made or not: never is there a receipt over other papers, and the same
// call again ends with the bytes of an undisturbed one.
func TestEveryWriteMayFail(t *testing.T) {
	folder, spec, _ := delivered(t)
	want := contents(t, folder)
	stale := someTerms
	stale.Name = "Another name"
	key := SigningKey(masterKey(t))
	ctx := context.Background()
	for n := range 9 {
		for _, persist := range []bool{false, true} {
			st := openStore(t, folder)
			if _, err := Write(ctx, st, spec.Catalogue, stale, key); err != nil { // papers of before
				t.Fatal(err)
			}
			_, err := Write(ctx, &cutting{Store: st, left: n, persist: persist}, spec.Catalogue, someTerms, key)
			if n < 8 && !errors.Is(err, errPower) {
				t.Fatalf("change %d: %v", n, err)
			}
			v, err := Verify(ctx, st, Options{Public: publicKey(t)})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range v.Differences {
				if d.Kind != ReceiptMissing && d.Kind != PaperContradicted {
					t.Errorf("cut at change %d (%v): %+v", n, persist, d)
				}
			}
			if _, err := Write(ctx, st, spec.Catalogue, someTerms, key); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, folder); !reflect.DeepEqual(got, want) {
				t.Errorf("cut at change %d (%v): the papers differ after going on", n, persist)
			}
		}
	}
}

// TestRemovals: an increment's papers tell what to take out, and verify.
func TestRemovals(t *testing.T) {
	files := masters(t)
	first, err := delivery.Run(context.Background(), specOf(t, files, 3), delivery.Folder(files), openStore(t, t.TempDir()), nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(files["dogs/two-dogs.jpg"].Data)
	gone := concepts.NewWorkID(sum)
	delete(files, "dogs/two-dogs.jpg")
	delete(files, "dogs/bad.png")
	spec := specOf(t, files, 4)
	if spec.Previous, err = delivery.NewHistory(first.Manifest); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	st := openStore(t, folder)
	if _, err := delivery.Run(context.Background(), spec, delivery.Folder(files), st, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(context.Background(), st, spec.Catalogue, someTerms, SigningKey(masterKey(t))); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Format, Previous string
		Removals         []map[string]string
	}
	if err := json.Unmarshal(read(t, filepath.Join(folder, removalsKey)), &got); err != nil {
		t.Fatal(err)
	}
	was, _ := first.Image(gone)
	want := []map[string]string{{"work": string(gone), "kind": "recalled", "reason": "it is no longer in the catalogue", "sha256": was.SHA256, "iscc_image": was.ISCCImage.String(),
		"iscc_instance": was.ISCCInstance.String(), "delivery": first.SHA256()}}
	if got.Format != RemovalsFormat || got.Previous != first.SHA256() || !reflect.DeepEqual(got.Removals, want) {
		t.Errorf("%+v", got)
	}
	v, err := Verify(context.Background(), st, Options{Public: publicKey(t), Required: true})
	if err != nil || !v.OK() || !v.Signed || v.Papers != 7 {
		t.Errorf("%+v, %+v, %v", v, v.Verification, err)
	}
	spec.Previous, spec.Force = nil, true // thrown away, the papers go too
	if _, err := delivery.Run(context.Background(), spec, delivery.Folder(files), st, nil); err != nil {
		t.Fatal(err)
	}
	for key := range contents(t, folder) {
		if slices.Contains(delivery.Papers(), key) {
			t.Errorf("%s is left of the delivery that was thrown away", key)
		}
	}
}

// TestTerms: what Croissant demands must be there.
func TestTerms(t *testing.T) {
	if err := someTerms.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Terms){"name": func(x *Terms) { x.Name = "" }, "url": func(x *Terms) { x.URL = "bank" }, "licence": func(x *Terms) { x.LicenceURL = "" },
		"day": func(x *Terms) { x.Published = time.Time{} },
		"end": func(x *Terms) { x.End = x.Start }} {
		bad := someTerms
		change(&bad)
		if err := bad.Check(); err == nil {
			t.Errorf("bad %s was accepted", name)
		}
	}
}
