package papers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/store/dir"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

// someTerms are those of the tests.
var someTerms = Terms{Name: "Bank pictures 2026", Description: "Licensed pictures with marks.", URL: "https://bank.example/sets/2026", Creator: "Bank <& Daughters>",
	LicenceURL: "https://bank.example/licences/L-1", Published: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Recipient: "Model Works",
	Start: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2029, 12, 1, 0, 0, 0, 0, time.UTC), Territory: "EU", Commitment: "00ff"}

func masterKey(t testing.TB) mark.Key {
	t.Helper()
	k, err := mark.NewKey(bytes.Repeat([]byte{7}, mark.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// masters are three photographs and a file that is none.
func masters(t testing.TB) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{"dogs/bad.png": {Data: []byte("no picture")}}
	for _, p := range []string{"sky/open-beach.jpg", "plants/leaf-veins.jpg", "animals/two-dogs.jpg"} {
		data, err := os.ReadFile(filepath.Join(testphotos.Dir(), p))
		if err != nil {
			t.Fatal(err)
		}
		files["dogs/"+path.Base(p)] = &fstest.MapFile{Data: data}
	}
	return files
}

// specOf asks for the files as catalogue test@version.
func specOf(t testing.TB, files fstest.MapFS, version int) delivery.Spec {
	t.Helper()
	c := concepts.Catalogue{Name: "test", Version: version}
	id := concepts.NewConceptID(concepts.Semantic, "dogs | and \"more\"")
	c.Concepts = []concepts.Concept{{ID: id, Kind: concepts.Semantic, Name: "dogs | and \"more\""}}
	for p, f := range files {
		sum := sha256.Sum256(f.Data)
		w := concepts.Work{ID: concepts.NewWorkID(sum), Path: p, SHA256: hex.EncodeToString(sum[:]), Width: 1, Height: 1, Format: "jpeg", Title: "=A \"title\",\nof two lines", Creator: "A. Nonymous"}
		c.Works = append(c.Works, w)
		c.Memberships = append(c.Memberships, concepts.Membership{Work: w.ID, Concept: id, Rule: "folder", Why: "test"})
	}
	f, err := c.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	var book concepts.Codebook
	if _, err := book.AssignConcepts(id); err != nil {
		t.Fatal(err)
	}
	for _, w := range f.Catalogue().Works {
		if _, err := book.AssignWorks(w.ID); err != nil {
			t.Fatal(err)
		}
	}
	preset, err := mark.PresetByName("standard")
	if err != nil {
		t.Fatal(err)
	}
	where := mark.Path{Bank: "bank", Catalogue: "test", Licence: "L-1", Purpose: "training", Epoch: 1}
	k := masterKey(t).Delivery(where)
	return delivery.Spec{Catalogue: f, Codebook: &book, Path: where, Keys: k.Keys(), KeyFingerprint: k.Fingerprint(), ProfileID: 1, Geometry: delivery.Geometry{Square: true, Resolution: 256},
		Format: delivery.FormatPNG, Preset: preset, CodeVersion: "test", Shards: delivery.ShardsTar, Captions: delivery.CaptionsUntouched, ImagesPerShard: 2, Workers: 2}
}

func openStore(t testing.TB, folder string) *dir.Store {
	t.Helper()
	s, err := dir.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// delivered makes a delivery with its papers.
func delivered(t testing.TB) (folder string, spec delivery.Spec, d *delivery.Delivery) {
	t.Helper()
	files := masters(t)
	spec = specOf(t, files, 3)
	folder = t.TempDir()
	st := openStore(t, folder)
	d, err := delivery.Run(context.Background(), spec, delivery.Folder(files), st, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(context.Background(), st, spec.Catalogue, someTerms, SigningKey(masterKey(t))); err != nil {
		t.Fatal(err)
	}
	return folder, spec, d
}

// contents reads the files of a folder.
func contents(t testing.TB, folder string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		if !e.IsDir() {
			all[e.Name()] = string(read(t, filepath.Join(folder, e.Name())))
		}
	}
	return all
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
