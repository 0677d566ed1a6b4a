package workspace

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/filigrane/filigrane/mark"
)

// A master key is one line of text: plain
//
//	filigrane-key-1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
//
// or sealed under a passphrase,
//
//	filigrane-sealed-key-1:argon2id,t=3,m=65536,p=4:SALT:NONCE:SEALED
//
// where the key of ChaCha20-Poly1305 (RFC 8439) is Argon2id (RFC 9106) of the passphrase and the salt of 16
// bytes, t passes over m KiB in p lanes; the nonce has 12 bytes; everything up to and including the third
// colon, the salt's, is authenticated with it. Numbers are decimal, bytes lower-case hex.
const (
	plainPrefix  = "filigrane-key-1:"
	sealedPrefix = "filigrane-sealed-key-1:"
	saltLen      = 16
)

// kdf are the parameters of Argon2id.
type kdf struct {
	passes uint32
	kib    uint32
	lanes  uint8
}

// usualKDF is the second recommendation of RFC 9106, section 4: 64 MiB, three passes.
var usualKDF = kdf{passes: 3, kib: 64 << 10, lanes: 4}

// Bounds on what a key file may ask of the machine that opens it.
const (
	maxPasses = 64
	maxKiB    = 1 << 20
)

func (k kdf) String() string {
	return fmt.Sprintf("argon2id,t=%d,m=%d,p=%d", k.passes, k.kib, k.lanes)
}

func (k kdf) key(pass, salt []byte) []byte {
	return argon2.IDKey(pass, salt, k.passes, k.kib, k.lanes, chacha20poly1305.KeySize)
}

// NewMasterKey draws a master key from the system's generator.
func NewMasterKey() mark.Key {
	secret := make([]byte, mark.KeySize)
	rand.Read(secret) // never fails: crypto/rand aborts the process instead
	k, err := mark.NewKey(secret)
	if err != nil {
		panic("workspace: " + err.Error())
	}
	return k
}

// PlainKey gives the text of an unsealed key file.
func PlainKey(k mark.Key) []byte {
	return []byte(plainPrefix + hex.EncodeToString(k.Bytes()) + "\n")
}

// SealKey gives the text of a key file sealed under a passphrase.
func SealKey(k mark.Key, passphrase []byte) []byte { return sealKey(k, passphrase, usualKDF) }

func sealKey(k mark.Key, passphrase []byte, params kdf) []byte {
	salt, nonce := make([]byte, saltLen), make([]byte, chacha20poly1305.NonceSize)
	rand.Read(salt)
	rand.Read(nonce)
	head := sealedPrefix + params.String() + ":" + hex.EncodeToString(salt) + ":"
	aead, err := chacha20poly1305.New(params.key(passphrase, salt))
	if err != nil {
		panic("workspace: " + err.Error())
	}
	sealed := aead.Seal(nil, nonce, k.Bytes(), []byte(head))
	return []byte(head + hex.EncodeToString(nonce) + ":" + hex.EncodeToString(sealed) + "\n")
}

// sealedKey is a parsed sealed key file.
type sealedKey struct {
	head                string
	params              kdf
	salt, nonce, sealed []byte
}

var sealedForm = regexp.MustCompile(`^(filigrane-sealed-key-1:argon2id,t=([1-9][0-9]{0,2}),m=([1-9][0-9]{0,7}),p=([1-9][0-9]?):([0-9a-f]{32}):)([0-9a-f]{24}):([0-9a-f]{96})\n$`)

// parseSealed reads the text of a sealed key file, and nothing but what SealKey writes.
func parseSealed(text []byte) (sealedKey, error) {
	m := sealedForm.FindSubmatch(text)
	if m == nil {
		return sealedKey{}, errors.New("not in the form of a sealed key")
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(string(m[i])) // the pattern allows eight digits at most
		return n
	}
	passes, kib, lanes := number(2), number(3), number(4)
	if passes > maxPasses || kib > maxKiB || kib < 8*lanes {
		return sealedKey{}, fmt.Errorf("asks for %d passes over %d KiB in %d lanes, more than the %d and %d allowed or too little memory", passes, kib, lanes, maxPasses, maxKiB)
	}
	s := sealedKey{head: string(m[1]), params: kdf{uint32(passes), uint32(kib), uint8(lanes)}}
	s.salt, _ = hex.DecodeString(string(m[5]))
	s.nonce, _ = hex.DecodeString(string(m[6]))
	s.sealed, _ = hex.DecodeString(string(m[7]))
	return s, nil
}

func (s sealedKey) text() []byte {
	return []byte(s.head + hex.EncodeToString(s.nonce) + ":" + hex.EncodeToString(s.sealed) + "\n")
}

var errPassphrase = errors.New("wrong passphrase, or a damaged key file")

func (s sealedKey) open(passphrase []byte) (mark.Key, error) {
	aead, err := chacha20poly1305.New(s.params.key(passphrase, s.salt))
	if err != nil {
		return mark.Key{}, err
	}
	secret, err := aead.Open(nil, s.nonce, s.sealed, []byte(s.head))
	if err != nil {
		return mark.Key{}, errPassphrase
	}
	return mark.NewKey(secret)
}

// ParseHexKey reads a key given as 64 hex digits or as the line of a plain key file, with or without a line
// end, as a variable or a command's output gives it. The error never shows the text.
func ParseHexKey(text string) (mark.Key, error) {
	text = strings.TrimPrefix(strings.TrimSpace(text), plainPrefix)
	secret, err := hex.DecodeString(text)
	if err != nil || len(secret) != mark.KeySize {
		return mark.Key{}, fmt.Errorf("a key is %d hex digits; this text of %d characters is not", 2*mark.KeySize, len(text))
	}
	return mark.NewKey(secret)
}

// HasKey tells whether the workspace holds the master key, or it is kept elsewhere.
func (r *Workspace) HasKey() bool {
	_, err := os.Lstat(r.path(keyFile))
	return err == nil
}

// FoundKey opens the master key that lies in a directory which is no workspace yet, as it was put there to begin again; found is
// false if there is none. passphrase is called only if it is sealed, which sealed tells.
func FoundKey(dir string, passphrase func() ([]byte, error)) (key mark.Key, found, sealed bool, err error) {
	r := &Workspace{dir: dir}
	if _, err := os.Lstat(r.path(configFile)); err == nil || !r.HasKey() {
		return key, false, false, nil
	}
	key, err = r.Key(func() ([]byte, error) {
		sealed = true
		return passphrase()
	})
	return key, true, sealed, err
}

// Key reads the master key. passphrase is called only if the key is sealed. A plain key that others on the
// machine can read is refused.
func (r *Workspace) Key(passphrase func() ([]byte, error)) (mark.Key, error) {
	name := r.path(keyFile)
	refuse := func(problem, remedy string, err error) (mark.Key, error) {
		return mark.Key{}, &Error{Kind: KindKey, Path: name, Problem: problem, Remedy: remedy, Err: err}
	}
	text, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse("the workspace holds no master key", "give it by --key-command or the variable FILIGRANE_KEY", err)
	case err != nil:
		return refuse("the master key cannot be read", "check the owner and mode of the file", err)
	}
	if bytes.HasPrefix(text, []byte(sealedPrefix)) {
		s, err := parseSealed(text)
		if err != nil {
			return mark.Key{}, corrupt(name, err)
		}
		pass, err := passphrase()
		if err != nil {
			return refuse("the master key is sealed: "+err.Error(), "set FILIGRANE_PASSPHRASE or run in a terminal", err)
		}
		k, err := s.open(pass)
		if err != nil {
			return refuse(err.Error(), "check FILIGRANE_PASSPHRASE, or restore master.key from a backup", err)
		}
		return k, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return mark.Key{}, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return refuse(fmt.Sprintf("others can read the master key (mode %04o)", info.Mode().Perm()), "run chmod 600 on it; if others had access, make a new workspace key", nil)
	}
	k, err := ParseHexKey(string(text))
	if err != nil || !bytes.Equal(PlainKey(k), text) {
		return mark.Key{}, corrupt(name, errors.New("not a key file"))
	}
	return k, nil
}
