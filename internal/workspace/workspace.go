// Package workspace keeps what makes a folder of a machine a bank's: which bank it is, where its registry is, and the
// sealed master key. Works, catalogues, the codebook and deliveries are in package registry.
//
//	filigrane.json           bank, fingerprint of the master key, tenant and address of the registry
//	master.key               the master key, mode 0600, sealed where a passphrase is in use; may be kept elsewhere
//	registry.db              the registry, with -wal and -shm, unless it is a database elsewhere
//	before-registry/         files of an older workspace, after their content went into the registry
//	lock                     held by a process that changes any of this but registry.db
//
// # Contract
//
// Durability: every write goes to a temporary file that is synced, renamed over the old one and followed by a
// sync of the directory. A process killed at any moment leaves the old or the new content of each file, never
// half of one; [Workspace.Lock] sweeps up temporary files of the dead. A workspace of before the registry is taken over
// in an order that may be cut off anywhere and begun again: the registry first, then the files go aside, then
// filigrane.json.
//
// Concurrency: any number of readers, at any time, without a lock, each file consistent in itself. Writers
// hold the lock from reading what they change until it is written; a second writer is refused with
// [KindLocked] and the name of the first. The lock dies with its process. The registry has its own rules.
//
// May run twice: every write, given the same content, leaves the same bytes.
//
// Trust: whoever can write here can point the program at another registry, but cannot read the master key when it is
// sealed, and the registry refuses another key. Whoever can read master.key unsealed can forge and erase every mark of
// the bank. No password of a database is ever written here.
//
// Every error that is about the content of a workspace is an [*Error] that says what to do.
package workspace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Kind is the machine-readable reason of an [Error].
type Kind string

// The kinds of errors.
const (
	KindNoWorkspace Kind = "no_workspace" // the directory is none
	KindExists      Kind = "exists"       // what should be made is there already
	KindLocked      Kind = "locked"       // another process writes
	KindCorrupt     Kind = "corrupt"      // a file is not what this package wrote
	KindNewer       Kind = "newer"        // written by a later version
	KindKey         Kind = "key"          // no usable master key
	KindUnknown     Kind = "unknown"      // a name that the workspace does not hold
)

// Error is an error about a workspace. Problem says what is wrong and Remedy what to do, in a line each,
// for the person at the terminal.
type Error struct {
	Kind    Kind
	Path    string // the file or directory concerned
	Problem string
	Remedy  string
	Err     error // the cause, may be nil
}

// Error gives path, problem and remedy in one line.
func (e *Error) Error() string {
	text := e.Problem
	if e.Path != "" {
		text = e.Path + ": " + text
	}
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf gives the kind of err, or "" if err is not from this package.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func corrupt(path string, err error) error {
	return &Error{Kind: KindCorrupt, Path: path, Problem: "damaged or edited by hand: " + err.Error(),
		Remedy: "put back a copy from a backup; nothing was changed", Err: err}
}

// Names of the files of a workspace.
const (
	configFile   = "filigrane.json"
	keyFile      = "master.key"
	lockFile     = "lock"
	registryFile = "registry.db"
)

// OwnNames lists the names that belong to a workspace in its directory, so that an import of the same
// directory leaves them alone.
func OwnNames() []string {
	return append([]string{configFile, keyFile, lockFile, registryFile, registryFile + "-wal", registryFile + "-shm", asideDir}, oldNames...)
}

// Config is the content of filigrane.json.
type Config struct {
	Format string `json:"format"`
	// Bank is the first element of every delivery's key path.
	Bank string `json:"bank"`
	// KeyFingerprint is mark.Key.Fingerprint of the master key; public.
	KeyFingerprint string `json:"key_fingerprint"`
	// Tenant is the bank's id in the registry; "" in a workspace of before the registry.
	Tenant string `json:"tenant,omitempty"`
	// Registry is the address of the registry, without a password; "" for the workspace's own file.
	Registry string `json:"registry,omitempty"`
	// Root is where the masters were, in a workspace of before the registry.
	Root string `json:"root,omitempty"`
}

// Formats of filigrane.json. That of before the registry is read, to be taken over, and never written.
const (
	configFormat = "filigrane workspace v2"
	oldFormat    = "filigrane workspace v1"
	formatPrefix = "filigrane workspace v"
)

// ParseConfig reads the text of a filigrane.json. It accepts nothing but what [Config.MarshalText] writes.
func ParseConfig(text []byte) (Config, error) {
	var c Config
	if err := strictJSON(text, &c); err != nil {
		var probe struct {
			Format string `json:"format"`
		}
		if json.Unmarshal(text, &probe) == nil && newer(probe.Format) {
			return Config{}, errNewer
		}
		return Config{}, err
	}
	if c.Format != configFormat && c.Format != oldFormat {
		if newer(c.Format) {
			return Config{}, errNewer
		}
		return Config{}, fmt.Errorf("the format is %q, not %q", c.Format, configFormat)
	}
	if err := CheckBank(c.Bank); err != nil {
		return Config{}, err
	}
	if !isHex(c.KeyFingerprint, 16) {
		return Config{}, errors.New("key_fingerprint is not 16 lower-case hex digits")
	}
	switch old := c.Format == oldFormat; {
	case old && (c.Tenant != "" || c.Registry != ""):
		return Config{}, fmt.Errorf("a workspace of format %q has neither tenant nor registry", oldFormat)
	case !old && c.Root != "":
		return Config{}, errors.New("the registry says where the masters lie, not root")
	case !old && CheckTenant(c.Tenant) != nil:
		return Config{}, CheckTenant(c.Tenant)
	}
	if c.Root != "" && (!filepath.IsAbs(c.Root) || filepath.Clean(c.Root) != c.Root) {
		return Config{}, fmt.Errorf("root %q is not a clean absolute path", c.Root)
	}
	again, err := c.MarshalText()
	if err != nil || !bytes.Equal(again, text) {
		return Config{}, errors.New("not in the form Filigrane writes")
	}
	return c, nil
}

var errNewer = errors.New("written by a later version of Filigrane")

func newer(format string) bool {
	return strings.HasPrefix(format, formatPrefix) && format != configFormat && format != oldFormat
}

// MarshalText gives the text of a filigrane.json.
func (c Config) MarshalText() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	type plain Config // without MarshalText, which encoding/json would call
	if err := enc.Encode(plain(c)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// UnmarshalText is ParseConfig.
func (c *Config) UnmarshalText(text []byte) (err error) {
	*c, err = ParseConfig(text)
	return err
}

// CheckBank returns an error unless name can be the name of a bank: it goes into every key, so it is fixed
// for good. 1 to 128 bytes of printable UTF-8 in NFC, no outer space.
func CheckBank(name string) error {
	bad := name == "" || len(name) > 128 || !utf8.ValidString(name) || strings.TrimSpace(name) != name || !norm.NFC.IsNormalString(name)
	for _, r := range name {
		bad = bad || !unicode.IsPrint(r)
	}
	if bad {
		return fmt.Errorf("bank name %q: give 1 to 128 bytes of printable text without outer space", name)
	}
	return nil
}

// CheckTenant returns an error unless id can be the id of a tenant: 1 to 128 bytes of printable UTF-8 in NFC, no space.
func CheckTenant(id string) error {
	if CheckBank(id) != nil || strings.ContainsFunc(id, unicode.IsSpace) {
		return fmt.Errorf("tenant %q: give 1 to 128 bytes of printable text without space", id)
	}
	return nil
}

// TenantOf derives the id of a tenant from a bank's name: letters and digits in lower case, "-" for all between them.
func TenantOf(bank string) string {
	id := strings.Join(strings.FieldsFunc(strings.ToLower(bank), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) }), "-")
	if id = norm.NFC.String(id); CheckTenant(id) != nil {
		return "bank"
	}
	return id
}

// strictJSON decodes one JSON value, refusing unknown fields and anything after it.
func strictJSON(text []byte, v any) error {
	// A type with UnmarshalText would be called on a JSON string only; all callers pass structs.
	if c, ok := v.(*Config); ok {
		type plain Config
		return strictJSON(text, (*plain)(c))
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows the end of the JSON value")
	}
	return nil
}

func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Workspace is an open workspace. Goroutines may share it for reading.
type Workspace struct {
	dir    string
	config Config
	lock   *os.File
}

// Open opens the workspace in dir for reading. [Workspace.Lock] makes it writable.
func Open(dir string) (*Workspace, error) {
	r := &Workspace{dir: dir}
	if err := r.load(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Workspace) load() error {
	name := r.path(configFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &Error{Kind: KindNoWorkspace, Path: r.dir, Problem: "no Filigrane workspace here",
			Remedy: "make one with 'filigrane init', or name one with --workspace", Err: err}
	}
	if err != nil {
		return err
	}
	c, err := ParseConfig(text)
	if errors.Is(err, errNewer) {
		return &Error{Kind: KindNewer, Path: name, Problem: err.Error(), Remedy: "update Filigrane", Err: err}
	}
	if err != nil {
		return corrupt(name, err)
	}
	r.config = c
	return nil
}

// Find opens the workspace in dir or in the nearest directory above it.
func Find(dir string) (*Workspace, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for d := abs; ; d = filepath.Dir(d) {
		r, err := Open(d)
		if KindOf(err) != KindNoWorkspace {
			return r, err
		}
		if filepath.Dir(d) == d {
			return nil, &Error{Kind: KindNoWorkspace, Path: abs, Problem: "no Filigrane workspace here or above",
				Remedy: "make one with 'filigrane init', or name one with --workspace"}
		}
	}
}

// Init makes a workspace in dir, which is created if need be, and returns it; the format of c is filled in. keyText is
// what [SealKey] or [PlainKey] gave, or nil where the key is kept elsewhere or is the one that [FoundKey] opened, which stays as it
// is. A directory that holds a workspace already is refused, and one with a key if there is a keyText. register is called when
// the key is safe, to make the bank known to its registry; if it fails, the workspace is not there, nor a key that was made.
func Init(dir string, c Config, keyText []byte, register func(*Workspace) error) (*Workspace, error) {
	if err := errors.Join(CheckBank(c.Bank), CheckTenant(c.Tenant)); err != nil {
		return nil, &Error{Kind: KindUnknown, Problem: err.Error()}
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	c.Format = configFormat
	r := &Workspace{dir: dir, config: c}
	release, err := r.acquire("filigrane init")
	if err != nil {
		return nil, err
	}
	defer release()
	if _, err := os.Lstat(r.path(configFile)); err == nil {
		return nil, &Error{Kind: KindExists, Path: r.path(configFile), Problem: "there is a workspace here already",
			Remedy: "choose another directory; a master key is never overwritten"}
	}
	if keyText != nil && r.HasKey() {
		return nil, &Error{Kind: KindExists, Path: r.path(keyFile), Problem: "there is a master key here already",
			Remedy: "choose another directory; a master key is never overwritten"}
	}
	if keyText != nil {
		if err := r.write(keyFile, keyText, 0o600); err != nil {
			return nil, err
		}
	}
	if err := register(r); err != nil {
		if keyText != nil {
			os.Remove(r.path(keyFile))
		}
		return nil, err
	}
	return r, r.saveConfig()
}

func (r *Workspace) saveConfig() error {
	text, err := r.config.MarshalText()
	if err != nil {
		return err
	}
	return r.write(configFile, text, 0o644)
}

// Dir is the directory of the workspace.
func (r *Workspace) Dir() string { return r.dir }

// Bank is the bank's name.
func (r *Workspace) Bank() string { return r.config.Bank }

// KeyFingerprint tells which master key belongs to the workspace.
func (r *Workspace) KeyFingerprint() string { return r.config.KeyFingerprint }

// Tenant is the bank's id in the registry. A workspace of before the registry has the one it will get.
func (r *Workspace) Tenant() string {
	if r.config.Format == oldFormat {
		return TenantOf(r.config.Bank)
	}
	return r.config.Tenant
}

// SetRegistry makes another registry that of the workspace; address has no password. Needs the lock.
func (r *Workspace) SetRegistry(address string) error {
	if address == r.path(registryFile) {
		address = ""
	}
	r.config.Registry = address
	return r.saveConfig()
}

// Registry is the address of the registry, without a password, or the path of the workspace's own file.
func (r *Workspace) Registry() string {
	if r.config.Registry != "" {
		return r.config.Registry
	}
	return r.path(registryFile)
}

func (r *Workspace) path(name string) string { return filepath.Join(r.dir, name) }
