// Package authority asks RFC 3161 authorities for time stamps, over HTTP, and reads the list of those that a user
// trusts.
//
// What is kept is the token, as the authority sent it; no token is returned that stamp.Verify does not accept. So
// neither the network nor the address matters: plain http is as good as https, and an answer by somebody else is
// refused. An authority learns a digest and the address of who asks, and nothing about what was digested.
//
// May run twice: to ask again gives a second token, of a later time, and harms nothing. A Client may be used by several
// goroutines if its Random may.
package authority

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/filigrane/filigrane/proof/stamp"
)

// Authority is one that time stamps are asked of.
type Authority struct {
	Name  string // unique in a list
	URL   string // http or https; user:password@ before the host where the authority wants them
	Roots []*x509.Certificate
	// Certificates may complete chains: see stamp.Policy.
	Certificates []*x509.Certificate
	// Policies are the authority's policies that will do, the first of which is asked for. None: any, none asked for.
	Policies []string
	Pins     []stamp.Digest
}

// Policy returns what a token by the authority is verified with at time now.
func (a Authority) Policy(now time.Time) stamp.Policy {
	return stamp.Policy{Roots: a.Roots, Certificates: a.Certificates, Policies: a.Policies, Pins: a.Pins, Now: now}
}

// ListName is the file of a folder that Read reads.
const ListName = "authorities.json"

// Read reads a list of authorities from a folder (os.DirFS): authorities.json, and the PEM files that it names. The order
// is the one in which they are asked.
//
//	[
//	  {
//	    "name": "Example QTSA",
//	    "url": "https://tsa.example.com/rfc3161",
//	    "roots": ["example-root.pem"],
//	    "certificates": ["example-intermediate.pem"],
//	    "policies": ["0.4.0.2023.1.1"],
//	    "pins": ["sha256:4f0d...64 hexadecimal digits"]
//	  }
//	]
//
// name, url and roots are needed. roots are what is trusted: a root, or the authority's own issuer or signer as an EU
// trusted list has it. A file has one certificate or several. pins are SHA-256 digests of certificates (openssl x509 -fingerprint
// -sha256) or of public keys, one of which must be in the chain. Errors name the file and the authority.
//
// Trust: who can write to the folder decides who may say what time it was.
func Read(folder fs.FS) ([]Authority, error) {
	b, err := fs.ReadFile(folder, ListName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("authority: the folder has no %s, the list of time-stamping authorities: %w", ListName, err)
	}
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	var entries []entry
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(&entries); err != nil {
		return nil, fmt.Errorf("authority: %s: %w", ListName, err)
	}
	if d.More() {
		return nil, fmt.Errorf("authority: %s: text after the list", ListName)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("authority: %s lists no authority", ListName)
	}
	var list []Authority
	for i, e := range entries {
		a, err := e.read(folder)
		if err != nil {
			return nil, fmt.Errorf("authority: %s, entry %d (%s): %w", ListName, i+1, e.Name, err)
		}
		if slices.ContainsFunc(list, func(o Authority) bool { return o.Name == a.Name }) {
			return nil, fmt.Errorf("authority: %s has two authorities named %s", ListName, a.Name)
		}
		list = append(list, a)
	}
	return list, nil
}

type entry struct {
	Name         string   `json:"name"`
	URL          string   `json:"url"`
	Roots        []string `json:"roots"`
	Certificates []string `json:"certificates"`
	Policies     []string `json:"policies"`
	Pins         []string `json:"pins"`
}

func (e entry) read(folder fs.FS) (Authority, error) {
	a := Authority{Name: e.Name, URL: e.URL, Policies: e.Policies}
	if strings.TrimSpace(e.Name) == "" {
		return a, errors.New("has no name")
	}
	if _, err := checkURL(e.URL); err != nil {
		return a, err
	}
	var err error
	if a.Roots, err = readCertificates(folder, e.Roots); err != nil {
		return a, err
	}
	if len(a.Roots) == 0 {
		return a, errors.New("has no roots; without one no token can be believed")
	}
	if a.Certificates, err = readCertificates(folder, e.Certificates); err != nil {
		return a, err
	}
	for _, p := range e.Policies {
		if _, err := x509.ParseOID(p); err != nil {
			return a, fmt.Errorf("policy %q is no object identifier, as 0.4.0.2023.1.1 is one", p)
		}
	}
	for _, p := range e.Pins {
		digits, ok := strings.CutPrefix(p, "sha256:")
		var d stamp.Digest
		if err := d.UnmarshalText([]byte(digits)); !ok || err != nil {
			return a, fmt.Errorf("pin %q is not sha256: and 64 hexadecimal digits", p)
		}
		a.Pins = append(a.Pins, d)
	}
	return a, nil
}

func checkURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("its url cannot be read") // the error would show a password
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("its url %q is not http or https", u.Redacted())
	}
	return u, nil
}

func readCertificates(folder fs.FS, names []string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for _, name := range names {
		if !fs.ValidPath(name) || path.Clean(name) == "." {
			return nil, fmt.Errorf("%q is no file of the folder", name)
		}
		b, err := fs.ReadFile(folder, name)
		if err != nil {
			return nil, err
		}
		more, err := stamp.Certificates(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, more...)
	}
	return all, nil
}
