// Package tsatest runs a real time-stamping authority for tests: OpenSSL's, behind a small HTTP server, with a root,
// an intermediate and a signer made for the test. Without OpenSSL (apt-get install openssl; 3.0 or newer) tests are
// skipped, or fail if FILIGRANE_NEED_TOOLS is 1.
//
// What openssl ts would not sign, a wrong certificate or another time than now, is signed with openssl cms, whose
// CAdES signatures are those of time stamps: see Sign and SetTime.
package tsatest

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
)

// The policies that an authority knows, the first of which is its default.
const (
	Policy      = "1.3.6.1.4.1.99999.1"
	OtherPolicy = "1.3.6.1.4.1.99999.2"
)

// The certificates of an authority are valid from From to Until, unless a test asks for others.
var (
	From  = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	Until = time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC)
)

// Config is what a test may want differently.
type Config struct {
	Name    string   // in the names of certificates [Test]
	Key     string   // of all certificates: ec, rsa, ed25519; rsa:3072 has 3072 bits [ec]
	Digest  string   // of signatures [sha256]
	Options []string // more lines of the configuration's tsa section, as "ess_cert_id_alg = sha1"
}

// Authority is a running authority. Its folder has root.pem, ca.pem and tsa.pem, and their keys as .key.
type Authority struct {
	URL    string
	Roots  []byte // PEM: the root
	Folder string

	t      testing.TB
	config Config
	mu     sync.Mutex // one openssl at a time: they share files
	at     time.Time
	asked  int
	serial int64
}

// Start runs an authority until the test ends.
func Start(t testing.TB) *Authority { t.Helper(); return StartWith(t, Config{}) }

// StartWith is Start with a configuration.
func StartWith(t testing.TB, config Config) *Authority {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("FILIGRANE_NEED_TOOLS") == "1" {
			t.Fatal(err)
		}
		t.Skip("no time-stamping authority to test with: apt-get install openssl")
	}
	for _, d := range []struct {
		field *string
		value string
	}{{&config.Name, "Test"}, {&config.Key, "ec"}, {&config.Digest, "sha256"}} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	a := &Authority{Folder: t.TempDir(), t: t, config: config, serial: 1000}
	a.write("openssl.cnf", fmt.Sprintf(configuration, config.Digest, Policy, OtherPolicy, strings.Join(config.Options, "\n")))
	a.write("tsaserial", "01\n")
	a.Certify("root", Certificate{Extensions: CAExtensions})
	a.Certify("ca", Certificate{Issuer: "root", Extensions: CAExtensions})
	a.Certify("tsa", Certificate{Issuer: "ca"})
	a.Roots = a.read("root.pem")
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.URL = server.URL
	return a
}

const configuration = `
[req]
distinguished_name = dn
[dn]
[ca_root]
database = root.txt
certificate = root.pem
private_key = root.key
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
crl_extensions = none
[ca_ca]
database = ca.txt
certificate = ca.pem
private_key = ca.key
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
crl_extensions = none
[any]
organizationName = optional
commonName = supplied
[none]
[tsa]
default_tsa = tsa_main
[tsa_main]
serial = tsaserial
crypto_device = builtin
signer_cert = tsa.pem
signer_key = tsa.key
certs = ca.pem
signer_digest = %s
default_policy = %s
other_policies = %s
digests = sha256, sha384, sha512
accuracy = secs:1, millisecs:500, microsecs:100
clock_precision_digits = 6
ordering = yes
tsa_name = yes
ess_cert_id_alg = sha256
%s
`

// The extensions of certificates, in the manner of OpenSSL's configuration.
const (
	// CAExtensions are those of an issuer.
	CAExtensions = "basicConstraints = critical, CA:true\nkeyUsage = critical, keyCertSign, cRLSign\nsubjectKeyIdentifier = hash"
	// SignerExtensions are those of a right signer.
	SignerExtensions = "basicConstraints = CA:false\nkeyUsage = critical, digitalSignature\nextendedKeyUsage = critical, timeStamping\nsubjectKeyIdentifier = hash"
)

// Certificate is what Certify makes.
type Certificate struct {
	Issuer      string    // root or ca; empty: itself
	From, Until time.Time // [From, Until of the package]
	Extensions  string    // [SignerExtensions]
	Key         string    // [that of the authority]
	KeyOf       string    // the name of a certificate whose key to use again, instead
	Digest      string    // that its issuer signs with [sha256]
}

// Certify makes a key and a certificate of its own: name.key and name.pem in the authority's folder.
func (a *Authority) Certify(name string, c Certificate) {
	a.t.Helper()
	if c.Key == "" {
		c.Key = a.config.Key
	}
	if c.Extensions == "" {
		c.Extensions = SignerExtensions
	}
	if c.From.IsZero() {
		c.From = From
	}
	if c.Until.IsZero() {
		c.Until = Until
	}
	if c.Digest == "" {
		c.Digest = "sha256"
	}
	a.write(name+".ext", "[v]\n"+c.Extensions+"\n")
	generate := []string{"genpkey", "-out", name + ".key", "-algorithm"}
	switch kind, bits, _ := strings.Cut(c.Key, ":"); kind {
	case "ec":
		generate = append(generate, "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
	case "rsa":
		if bits == "" {
			bits = "2048"
		}
		generate = append(generate, "RSA", "-pkeyopt", "rsa_keygen_bits:"+bits)
	case "ed25519":
		generate = append(generate, "ED25519")
		c.Digest = "default"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.KeyOf != "" {
		a.write(name+".key", string(a.read(c.KeyOf+".key")))
	} else {
		a.openssl(generate...)
	}
	a.openssl("req", "-new", "-config", "openssl.cnf", "-key", name+".key", "-out", name+".csr", "-subj", "/O=Filigrane tests/CN="+a.config.Name+" "+name)
	sign := []string{"ca", "-batch", "-notext", "-config", "openssl.cnf", "-in", name + ".csr", "-out", name + ".pem", "-extfile", name + ".ext", "-extensions", "v",
		"-startdate", c.From.UTC().Format(stampLayout), "-enddate", c.Until.UTC().Format(stampLayout), "-md", c.Digest}
	if c.Issuer == "" {
		a.write(name+".txt", "")
		sign = append(sign, "-name", "ca_root", "-selfsign", "-keyfile", name+".key")
	} else {
		sign = append(sign, "-name", "ca_"+c.Issuer)
	}
	if strings.HasPrefix(c.Extensions, "basicConstraints = critical, CA:true") && c.Issuer != "" {
		a.write(name+".txt", "")
	}
	a.openssl(sign...)
}

const stampLayout = "20060102150405Z"

// SetTime sets the authority's clock to a fixed time, which its certificates should cover; the zero time lets it run again.
func (a *Authority) SetTime(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = at
}

// Asked returns how many requests have come.
func (a *Authority) Asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

// ServeHTTP answers a request. It may be put behind another server that breaks its answers.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/timestamp-query" {
		http.Error(w, "a POST of application/timestamp-query", http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	answer, err := a.reply(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	_, _ = w.Write(answer) // a client that has gone is the test's business
}

// reply answers a request in DER.
func (a *Authority) reply(request []byte) ([]byte, error) {
	if !a.at.IsZero() {
		return a.replyAt(request)
	}
	if err := os.WriteFile(a.path("request.tsq"), request, 0o666); err != nil {
		return nil, err
	}
	if _, err := a.run("ts", "-reply", "-config", "openssl.cnf", "-queryfile", "request.tsq", "-out", "response.tsr"); err != nil {
		return nil, err
	}
	return os.ReadFile(a.path("response.tsr"))
}

func (a *Authority) replyAt(request []byte) ([]byte, error) {
	r, err := timestamp.ParseRequest(request)
	if err != nil {
		return nil, err
	}
	a.serial++
	in := Info{Imprint: r.HashedMessage, Serial: a.serial, Time: a.at, Nonce: r.Nonce}
	if r.TSAPolicyOID != nil {
		in.Policy = r.TSAPolicyOID.String()
	}
	if r.HashAlgorithm != crypto.SHA256 {
		return nil, fmt.Errorf("tsatest: digest %s with a clock that was set", r.HashAlgorithm)
	}
	token, err := a.sign(in.DER(), Signing{})
	if err != nil {
		return nil, err
	}
	return Response(token), nil
}

// Response is a token as an authority sends it.
func Response(token []byte) []byte {
	return must(asn1.Marshal(struct {
		Status struct{ Status int }
		Token  asn1.RawValue
	}{Token: asn1.RawValue{FullBytes: token}}))
}

// Token returns a token of imprint, without nonce, with the authority's certificates in it.
func (a *Authority) Token(imprint [sha256.Size]byte) []byte {
	a.t.Helper()
	r := timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: imprint[:], Certificates: true}
	a.mu.Lock()
	defer a.mu.Unlock()
	answer, err := a.reply(must(r.Marshal()))
	if err != nil {
		a.t.Fatal(err)
	}
	var response struct{ Status, Token asn1.RawValue }
	if _, err := asn1.Unmarshal(answer, &response); err != nil {
		a.t.Fatalf("%v in the response %x", err, answer)
	}
	return response.Token.FullBytes
}

// Info is the content of a token.
type Info struct {
	Policy  string                // [Policy]
	Hash    asn1.ObjectIdentifier // [SHA-256]
	Imprint []byte
	Serial  int64
	Time    time.Time
	Raw     string // in the place of Time: the characters of the GeneralizedTime
	Nonce   *big.Int
	Rest    []byte // DER of what follows the nonce
}

// DER encodes a TSTInfo.
func (in Info) DER() []byte {
	if in.Policy == "" {
		in.Policy = Policy
	}
	if in.Hash == nil {
		in.Hash = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	}
	if in.Raw == "" {
		in.Raw = strings.TrimSuffix(strings.TrimRight(in.Time.UTC().Format("20060102150405.000000000"), "0"), ".") + "Z"
		if in.Time.Nanosecond() == 0 {
			in.Raw = in.Time.UTC().Format(stampLayout)
		}
	}
	policy := must(x509.ParseOID(in.Policy))
	type imprint struct {
		Hash   pkix.AlgorithmIdentifier
		Digest []byte
	}
	return must(asn1.Marshal(struct {
		Version int
		Policy  asn1.RawValue
		Imprint imprint
		Serial  int64
		Time    asn1.RawValue
		Nonce   *big.Int      `asn1:"optional"`
		Rest    asn1.RawValue `asn1:"optional"`
	}{1, asn1.RawValue{Tag: asn1.TagOID, Bytes: must(policy.MarshalBinary())}, imprint{pkix.AlgorithmIdentifier{Algorithm: in.Hash, Parameters: asn1.NullRawValue}, in.Imprint},
		in.Serial, asn1.RawValue{Tag: asn1.TagGeneralizedTime, Bytes: []byte(in.Raw)}, in.Nonce, asn1.RawValue{FullBytes: in.Rest}}))
}

// Signing says how Sign signs.
type Signing struct {
	Signers []string // names of certificates [tsa]
	Chain   string   // PEM file of the certificates to add; none: not the signer's either [ca.pem]
	Type    string   // of the content [id-ct-TSTInfo]
	Options []string // more options of openssl cms, as "-keyid"
}

// Sign signs content, an Info in DER or anything else, with openssl cms. The token is DER.
func (a *Authority) Sign(content []byte, s Signing) []byte {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	token, err := a.sign(content, s)
	if err != nil {
		a.t.Fatal(err)
	}
	return token
}

func (a *Authority) sign(content []byte, s Signing) ([]byte, error) {
	if s.Signers == nil {
		s.Signers = []string{"tsa"}
	}
	if s.Chain == "" {
		s.Chain = "ca.pem"
	}
	if s.Type == "" {
		s.Type = "1.2.840.113549.1.9.16.1.4"
	}
	if err := os.WriteFile(a.path("content.der"), content, 0o666); err != nil {
		return nil, err
	}
	args := []string{"cms", "-sign", "-binary", "-nodetach", "-cades", "-nosmimecap", "-in", "content.der", "-out", "token.der", "-outform", "DER",
		"-econtent_type", s.Type, "-md", a.config.Digest}
	if s.Chain == "none" {
		args = append(args, "-nocerts")
	} else {
		args = append(args, "-certfile", s.Chain)
	}
	for _, name := range s.Signers {
		args = append(args, "-signer", name+".pem", "-inkey", name+".key")
	}
	if _, err := a.run(append(args, s.Options...)...); err != nil {
		return nil, err
	}
	return os.ReadFile(a.path("token.der"))
}

// Revoke notes that issuer revoked a certificate, at any time, for a reason as "keyCompromise", or for none.
func (a *Authority) Revoke(issuer, name string, at time.Time, reason string) {
	a.t.Helper()
	serial := fmt.Sprintf("%X", a.Certificate(name).SerialNumber.Bytes())
	lines := strings.Split(string(a.read(issuer+".txt")), "\n")
	for i, line := range lines {
		fields := strings.Split(line, "\t") // state, expiry, revocation, serial, file, subject
		if len(fields) < 6 || fields[3] != serial {
			continue
		}
		fields[0], fields[2] = "R", at.UTC().Format("060102150405Z")
		if reason != "" {
			fields[2] += "," + reason
		}
		lines[i] = strings.Join(fields, "\t")
		a.write(issuer+".txt", strings.Join(lines, "\n"))
		return
	}
	a.t.Fatalf("%s did not issue %s", issuer, name)
}

// List returns the revocation list of an issuer, in DER, as of a time and with the time of the next.
func (a *Authority) List(issuer string, this, next time.Time, options ...string) []byte {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.openssl(append([]string{"ca", "-gencrl", "-config", "openssl.cnf", "-name", "ca_" + issuer, "-out", "list.pem",
		"-crl_lastupdate", this.UTC().Format(stampLayout), "-crl_nextupdate", next.UTC().Format(stampLayout)}, options...)...)
	block, _ := pem.Decode(a.read("list.pem"))
	return block.Bytes
}

// ListWith is List with extensions, in the manner of OpenSSL's configuration; more sections may follow them.
func (a *Authority) ListWith(issuer string, this, next time.Time, extensions string) []byte {
	a.t.Helper()
	whole := a.read("openssl.cnf")
	defer a.write("openssl.cnf", string(whole))
	a.write("openssl.cnf", string(whole)+"[v]\n"+extensions+"\n")
	return a.List(issuer, this, next, "-crlexts", "v")
}

// Answer returns the OCSP response of an issuer about a certificate, as of now, in DER. It is signed by responder, the
// name of a certificate; the issuer's own name stands for the issuer itself.
func (a *Authority) Answer(issuer, name, responder string) []byte {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.openssl("ocsp", "-sha256", "-issuer", issuer+".pem", "-cert", name+".pem", "-reqout", "ocsp.req")
	args := []string{"ocsp", "-index", issuer + ".txt", "-CA", issuer + ".pem", "-rsigner", responder + ".pem", "-rkey", responder + ".key",
		"-reqin", "ocsp.req", "-respout", "ocsp.res", "-ndays", "7"}
	if responder == issuer {
		args = append(args, "-resp_no_certs")
	}
	a.openssl(args...)
	return a.read("ocsp.res")
}

// Certificate returns a certificate of the authority by its name: root, ca, tsa, or one that Certify made.
func (a *Authority) Certificate(name string) *x509.Certificate {
	a.t.Helper()
	block, _ := pem.Decode(a.read(name + ".pem"))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// Accepts is the outside opinion: openssl ts -verify of a token against imprint, the root and the time at. It returns
// nil, or what OpenSSL says.
func (a *Authority) Accepts(token []byte, imprint [sha256.Size]byte, at time.Time) error {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.write("verify.der", string(token))
	_, err := a.run("ts", "-verify", "-digest", fmt.Sprintf("%x", imprint), "-in", "verify.der", "-token_in", "-CAfile", "root.pem",
		"-untrusted", "ca.pem", "-attime", fmt.Sprint(at.Unix()))
	return err
}

func (a *Authority) path(name string) string { return filepath.Join(a.Folder, name) }

func (a *Authority) write(name, content string) {
	a.t.Helper()
	if err := os.WriteFile(a.path(name), []byte(content), 0o666); err != nil {
		a.t.Fatal(err)
	}
}

func (a *Authority) read(name string) []byte {
	a.t.Helper()
	b, err := os.ReadFile(a.path(name))
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

func (a *Authority) openssl(args ...string) {
	a.t.Helper()
	if _, err := a.run(args...); err != nil {
		a.t.Fatal(err)
	}
}

func (a *Authority) run(args ...string) ([]byte, error) {
	var errs bytes.Buffer
	c := exec.Command("openssl", args...)
	c.Dir, c.Stderr = a.Folder, &errs
	c.Env = append(os.Environ(), "OPENSSL_CONF="+os.DevNull)
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("tsatest: openssl %s: %w\n%s%s", strings.Join(args, " "), err, out, errs.Bytes())
	}
	return out, nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic("tsatest: " + err.Error())
	}
	return v
}
