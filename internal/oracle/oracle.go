// Package oracle gives tests the answers of other people's programs: the vectors of testdata/oracles, and exiftool.
// Only tests import it. How the vectors were made stands at the head of testdata/oracles/make.py.
package oracle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
)

// Exiftool finds exiftool, the outside witness of what a file's metadata say (Debian: libimage-exiftool-perl). Without it the
// test is skipped, unless FILIGRANE_NEED_TOOLS says that it must be there.
func Exiftool(t testing.TB) string {
	t.Helper()
	tool, err := exec.LookPath("exiftool")
	if err != nil {
		if os.Getenv("FILIGRANE_NEED_TOOLS") != "" {
			t.Fatal("exiftool is not installed (apt-get install libimage-exiftool-perl)")
		}
		t.Skip("exiftool is not installed")
	}
	return tool
}

// Load reads the vectors of testdata/oracles/NAME.json into a pointer to a slice, such as *[]DFT.
//
// It fails the test, rather than let it pass on nothing, if the file is missing, holds no vector, or
// has a field that the element type lacks. It works from any package of the module.
func Load(t testing.TB, name string, into any) {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatalf("oracle: %v", err)
	}
	path := filepath.Join(root, "testdata", "oracles", name+".json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("oracle: %v (testdata/oracles/make.py writes it)", err)
	}
	if err := parse(data, into); err != nil {
		t.Fatalf("oracle: %s: %v", path, err)
	}
}

// parse reads one file's vectors into a pointer to a slice.
func parse(data []byte, into any) error {
	slice := reflect.ValueOf(into)
	if slice.Kind() != reflect.Pointer || slice.Elem().Kind() != reflect.Slice {
		panic(fmt.Sprintf("oracle: vectors go into a pointer to a slice, not %T", into))
	}
	var file struct {
		About    string          `json:"about"`
		MadeWith string          `json:"made_with"`
		Vectors  json.RawMessage `json:"vectors"`
	}
	if err := strict(data, &file); err != nil {
		return err
	}
	if err := strict(file.Vectors, into); err != nil {
		return fmt.Errorf("vectors: %w", err)
	}
	if slice.Elem().Len() == 0 {
		return fmt.Errorf("no vectors")
	}
	return nil
}

// strict parses exactly one JSON value without unknown fields.
func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("something after the end")
	}
	return nil
}

// moduleRoot returns the folder of the go.mod above the working directory, which is the tested
// package's folder.
func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod above %s", start)
		}
	}
}
