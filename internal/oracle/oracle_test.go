package oracle

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"runtime"
	"strings"
	"testing"
)

// TestFiles loads every file and checks that its fields fit together; what needs nothing but the
// standard library is checked for good.
func TestFiles(t *testing.T) {
	t.Run("dft", func(t *testing.T) {
		var vectors []DFT
		Load(t, "dft", &vectors)
		for _, v := range vectors {
			if len(v.Input) != v.N || len(v.Rows) != len(v.Re) || len(v.Rows) != len(v.Im) || len(v.Rows) == 0 {
				t.Fatalf("n = %d: %d input rows, %d rows, %d re, %d im", v.N, len(v.Input), len(v.Rows), len(v.Re), len(v.Im))
			}
			sum := 0
			for _, row := range v.Input {
				for _, x := range row {
					sum += x
				}
			}
			if v.Rows[0] != 0 || v.Re[0][0] != float64(sum) || v.Im[0][0] != 0 || len(v.Re[0]) != v.N/2+1 {
				t.Errorf("n = %d: F(0,0) = %v%+vi, want %d", v.N, v.Re[0][0], v.Im[0][0], sum)
			}
		}
	})
	t.Run("wht", func(t *testing.T) {
		var vectors []WHT
		Load(t, "wht", &vectors)
		for _, v := range vectors {
			if len(v.Input) != v.N || len(v.Output) != v.N {
				t.Fatalf("n = %d: %d in, %d out", v.N, len(v.Input), len(v.Output))
			}
			even := 0 // row 1 of Sylvester's matrix alternates
			for i, x := range v.Input {
				even += x * (1 - 2*(i%2))
			}
			if v.Output[1] != even {
				t.Errorf("n = %d: output 1 = %d, want %d", v.N, v.Output[1], even)
			}
		}
	})
	t.Run("quality", func(t *testing.T) {
		var vectors []Quality
		Load(t, "quality", &vectors)
		for _, v := range vectors {
			if n := v.Width * v.Height * v.Channels * v.Bits / 8; len(v.A) != n || len(v.B) != n {
				t.Errorf("%s: %d and %d bytes, want %d", v.Name, len(v.A), len(v.B), n)
			}
		}
	})
	t.Run("ycbcr", func(t *testing.T) {
		var vectors []YCbCr
		Load(t, "ycbcr", &vectors)
	})
	t.Run("hkdf", testHKDF)
	t.Run("aesctr", testAESCTR)
	t.Run("sha256", func(t *testing.T) {
		var vectors []SHA256
		Load(t, "sha256", &vectors)
		for _, v := range vectors {
			if got := sha256.Sum256(v.Input); !bytes.Equal(got[:], v.Digest) {
				t.Errorf("%x: %x, want %x", v.Input, got, v.Digest)
			}
		}
	})
}

func testHKDF(t *testing.T) {
	var vectors []HKDF
	Load(t, "hkdf", &vectors)
	for _, v := range vectors {
		prk, err := hkdf.Extract(sha256.New, v.IKM, v.Salt)
		if err != nil || !bytes.Equal(prk, v.PRK) {
			t.Errorf("%s: prk %x, %v", v.Name, prk, err)
		}
		okm, err := hkdf.Expand(sha256.New, prk, string(v.Info), v.Length)
		if err != nil || !bytes.Equal(okm, v.OKM) {
			t.Errorf("%s: okm %x, %v", v.Name, okm, err)
		}
	}
}

func testAESCTR(t *testing.T) {
	var vectors []AESCTR
	Load(t, "aesctr", &vectors)
	for _, v := range vectors {
		block, err := aes.NewCipher(v.Key)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		got := make([]byte, len(v.Keystream))
		cipher.NewCTR(block, v.IV).XORKeyStream(got, got)
		if !bytes.Equal(got, v.Keystream) {
			t.Errorf("%s: %x", v.Name, got)
		}
	}
}

// fatal is a testing.TB that remembers being failed.
type fatal struct {
	testing.TB
	failed bool
}

func (f *fatal) Helper() {}

func (f *fatal) Fatalf(string, ...any) {
	f.failed = true
	runtime.Goexit()
}

func TestMissingFileFails(t *testing.T) {
	f, done := &fatal{}, make(chan bool)
	go func() {
		defer close(done)
		Load(f, "no such file", new([]WHT))
	}()
	<-done
	if !f.failed {
		t.Error("a missing file passed")
	}
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]string{
		"nothing":       ``,
		"no vectors":    `{"about": "x"}`,
		"empty vectors": `{"vectors": []}`,
		"null":          `{"vectors": null}`,
		"unknown field": `{"vectors": [{"input": "00", "digest": "00", "more": 1}]}`,
		"unknown head":  `{"vectors": [{"input": "00"}], "more": 1}`,
		"not hex":       `{"vectors": [{"input": "0g"}]}`,
		"trailing":      `{"vectors": [{"input": "00"}]} {}`,
	}
	for name, data := range tests {
		if err := parse([]byte(data), new([]SHA256)); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
	var vectors []SHA256
	err := parse([]byte(`{"vectors": [{"input": "00ff"}]}`), &vectors)
	if err != nil || !bytes.Equal(vectors[0].Input, []byte{0, 255}) {
		t.Errorf("a good file: %v, %v", vectors, err)
	}
	defer func() {
		if s, _ := recover().(string); !strings.HasPrefix(s, "oracle: ") {
			t.Errorf("a slice in place of a pointer: panic %q", s)
		}
	}()
	parse([]byte(`{}`), vectors)
}
