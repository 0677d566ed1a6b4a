package stamp_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"github.com/filigrane/filigrane/proof/stamp"
	"github.com/filigrane/filigrane/proof/stamp/tsatest"
)

var imprint = sha256.Sum256([]byte("the root of a tree of commitments"))

// at is when tokens are of that are not of now.
var at = time.Date(2024, 6, 1, 12, 0, 0, 250e6, time.UTC)

func policyOf(t testing.TB, a *tsatest.Authority) stamp.Policy {
	t.Helper()
	roots, err := stamp.Certificates(a.Roots)
	if err != nil {
		t.Fatal(err)
	}
	return stamp.Policy{Roots: roots, Now: time.Now()}
}

// info is a token's content at time at.
func info() tsatest.Info { return tsatest.Info{Imprint: imprint[:], Serial: 7, Time: at} }

func TestTokensOfOpenSSLAreAccepted(t *testing.T) {
	for _, c := range []struct {
		name   string
		config tsatest.Config
	}{
		{"ECDSA, SHA-256", tsatest.Config{}},
		{"ECDSA, SHA-384", tsatest.Config{Digest: "sha384"}},
		{"RSA, SHA-256", tsatest.Config{Key: "rsa"}},
		{"ECDSA, SHA-512", tsatest.Config{Digest: "sha512"}},
		{"certificate named by SHA-1, as before RFC 5816", tsatest.Config{Options: []string{"ess_cert_id_alg = sha1"}}},
		{"certificate named by SHA-512", tsatest.Config{Options: []string{"ess_cert_id_alg = sha512"}}},
		{"the whole chain is named", tsatest.Config{Options: []string{"ess_cert_id_chain = yes"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := tsatest.StartWith(t, c.config)
			before := time.Now().Truncate(time.Microsecond)
			token := a.Token(imprint)
			s, err := stamp.Verify(token, imprint, policyOf(t, a))
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Accepts(token, imprint, s.Time); err != nil {
				t.Errorf("OpenSSL does not accept it: %v", err)
			}
			if s.Time.Before(before) || s.Time.After(time.Now()) || s.Time.Location() != time.UTC {
				t.Errorf("it is of %s, between %s and now", s.Time, before)
			}
			if s.Accuracy != 1500100*time.Microsecond || !s.Ordering || s.Policy != tsatest.Policy || s.Serial.Int64() != 2 || s.Nonce != nil || s.Qualified {
				t.Errorf("got %+v", s)
			}
			if s.Latest().Sub(s.Earliest()) != 2*s.Accuracy {
				t.Errorf("from %s to %s", s.Earliest(), s.Latest())
			}
			if s.Authority != "CN=Test tsa,O=Filigrane tests" {
				t.Errorf("by %s", s.Authority)
			}
			var chain []stamp.Digest
			for _, name := range []string{"tsa", "ca", "root"} {
				chain = append(chain, sha256.Sum256(a.Certificate(name).Raw))
			}
			if !slices.Equal(s.Chain, chain) {
				t.Errorf("chain %s, not %s", s.Chain, chain)
			}
			checkOtherLibrary(t, token, s)
		})
	}
}

// checkOtherLibrary asks a library that reads tokens by another code, if less strictly.
func checkOtherLibrary(t *testing.T, token []byte, s stamp.Stamp) {
	t.Helper()
	o, err := timestamp.Parse(token)
	if err != nil {
		t.Fatalf("another library refuses what was accepted: %v", err)
	}
	if !o.Time.Equal(s.Time) || o.Accuracy != s.Accuracy || o.SerialNumber.Cmp(s.Serial) != 0 || o.Policy.String() != s.Policy || o.Ordering != s.Ordering ||
		o.Qualified != s.Qualified || o.HashAlgorithm != crypto.SHA256 || !bytes.Equal(o.HashedMessage, imprint[:]) {
		t.Errorf("another library reads %+v, and this %+v", o, s)
	}
}

func TestTokensOfCMSAreAccepted(t *testing.T) {
	ec, rsa := tsatest.Start(t), tsatest.Start(t)
	rsa.Certify("tsa", tsatest.Certificate{Issuer: "ca", Key: "rsa"})
	for _, c := range []struct {
		name    string
		a       *tsatest.Authority
		signing tsatest.Signing
		info    func(*tsatest.Info)
		openssl bool // openssl ts knows such tokens too
	}{
		{"a time that is over", ec, tsatest.Signing{}, func(*tsatest.Info) {}, true},
		{"signer named by its key", ec, tsatest.Signing{Options: []string{"-keyid"}}, func(*tsatest.Info) {}, false},
		{"RSASSA-PSS", rsa, tsatest.Signing{Options: []string{"-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:-1"}}, func(*tsatest.Info) {}, false},
		{"the root is in the token", ec, tsatest.Signing{Chain: "both.pem"}, func(*tsatest.Info) {}, true},
		{"whole seconds", ec, tsatest.Signing{}, func(i *tsatest.Info) { i.Time = at.Truncate(time.Second) }, true},
		{"nanoseconds", ec, tsatest.Signing{}, func(i *tsatest.Info) { i.Time = at.Add(1) }, true},
		{"qualified", ec, tsatest.Signing{}, func(i *tsatest.Info) { i.Rest = extension(qcStatements, false, qualified) }, true},
		{"extension of no consequence", ec, tsatest.Signing{}, func(i *tsatest.Info) { i.Rest = extension(asn1.ObjectIdentifier{1, 2, 3}, false, nil) }, true},
		{"policy with an arc of 128 bits", ec, tsatest.Signing{}, func(i *tsatest.Info) { i.Policy = "2.25.329800735698586629295641978511506172918" }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, c.a, "both.pem", slices.Concat(pemOf(c.a, "ca"), c.a.Roots))
			in := info()
			c.info(&in)
			token := c.a.Sign(in.DER(), c.signing)
			s, err := stamp.Verify(token, imprint, policyOf(t, c.a))
			if err != nil {
				t.Fatal(err)
			}
			if !s.Time.Equal(in.Time) || s.Qualified != (c.name == "qualified") {
				t.Errorf("got %+v, of %s", s, in.Time)
			}
			if c.openssl {
				if err := c.a.Accepts(token, imprint, s.Time); err != nil {
					t.Errorf("OpenSSL does not accept it: %v", err)
				}
			}
		})
	}
}

var (
	qcStatements = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}
	qualified    = must(asn1.Marshal([]struct{ ID asn1.ObjectIdentifier }{{asn1.ObjectIdentifier{0, 4, 0, 19422, 1, 1}}}))
)

// extension is [1] Extensions with one of them.
func extension(oid asn1.ObjectIdentifier, critical bool, value []byte) []byte {
	return must(asn1.MarshalWithParams([]struct {
		ID       asn1.ObjectIdentifier
		Critical bool `asn1:"optional"`
		Value    []byte
	}{{oid, critical, value}}, "tag:1"))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func pemOf(a *tsatest.Authority, name string) []byte {
	return must(os.ReadFile(filepath.Join(a.Folder, name+".pem")))
}

func write(t testing.TB, a *tsatest.Authority, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(a.Folder, name), b, 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestChainAtTheTimeOfTheToken: what counts is whether certificates were valid then.
func TestChainAtTheTimeOfTheToken(t *testing.T) {
	day := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		name    string
		ca, tsa tsatest.Certificate
		want    stamp.Kind
	}{
		{"all valid to this day", tsatest.Certificate{}, tsatest.Certificate{}, ""},
		{"signer expired since", tsatest.Certificate{}, tsatest.Certificate{Until: day(2025)}, ""},
		{"issuer expired since", tsatest.Certificate{Until: day(2025)}, tsatest.Certificate{Until: day(2025)}, ""},
		{"signer expired before", tsatest.Certificate{}, tsatest.Certificate{Until: day(2024)}, stamp.KindValidity},
		{"signer not valid yet", tsatest.Certificate{}, tsatest.Certificate{From: day(2025)}, stamp.KindValidity},
		{"issuer expired before", tsatest.Certificate{Until: day(2024)}, tsatest.Certificate{}, stamp.KindValidity},
		{"issuer not valid yet", tsatest.Certificate{From: day(2025)}, tsatest.Certificate{}, stamp.KindValidity},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := tsatest.Start(t)
			c.ca.Issuer, c.ca.Extensions = "root", tsatest.CAExtensions
			c.tsa.Issuer = "ca"
			a.Certify("ca", c.ca)
			a.Certify("tsa", c.tsa)
			a.SetTime(at)
			token := a.Token(imprint)
			_, err := stamp.Verify(token, imprint, policyOf(t, a))
			want(t, err, c.want)
			if oracle := a.Accepts(token, imprint, at); (oracle == nil) != (err == nil) {
				t.Errorf("OpenSSL says %v", oracle)
			}
		})
	}
}

func want(t *testing.T, err error, kind stamp.Kind) {
	t.Helper()
	if got := stamp.KindOf(err); got != kind || (err == nil) != (kind == "") {
		t.Errorf("got %q: %v; want kind %q", got, err, kind)
	} else if err != nil {
		t.Log(err)
	}
}

func TestCertificatesThatAreNotForTimeStamps(t *testing.T) {
	a := tsatest.Start(t)
	a.Certify("ca", tsatest.Certificate{Issuer: "root", Extensions: tsatest.CAExtensions, Key: "rsa"}) // there is no ECDSA with MD5
	with := func(lines ...string) string { return "subjectKeyIdentifier = hash\n" + strings.Join(lines, "\n") }
	for _, c := range []struct {
		name        string
		certificate tsatest.Certificate
		want        stamp.Kind
	}{
		{"no key usage at all", tsatest.Certificate{Extensions: with("extendedKeyUsage = critical, timeStamping")}, ""},
		{"non-repudiation", tsatest.Certificate{Extensions: with("extendedKeyUsage = critical, timeStamping", "keyUsage = nonRepudiation")}, ""},
		{"another extended key usage", tsatest.Certificate{Extensions: with("extendedKeyUsage = critical, emailProtection")}, stamp.KindUsage},
		{"one more extended key usage", tsatest.Certificate{Extensions: with("extendedKeyUsage = critical, timeStamping, codeSigning")}, stamp.KindUsage},
		{"one more that is unknown", tsatest.Certificate{Extensions: with("extendedKeyUsage = critical, timeStamping, 1.2.3.4")}, stamp.KindUsage},
		{"any extended key usage", tsatest.Certificate{Extensions: with("extendedKeyUsage = critical, anyExtendedKeyUsage")}, stamp.KindUsage},
		{"no extended key usage", tsatest.Certificate{Extensions: with("keyUsage = digitalSignature")}, stamp.KindUsage},
		{"extended key usage not critical", tsatest.Certificate{Extensions: with("extendedKeyUsage = timeStamping")}, stamp.KindUsage},
		{"key usage for other things too", tsatest.Certificate{Extensions: with("extendedKeyUsage = critical, timeStamping", "keyUsage = digitalSignature, keyEncipherment")}, stamp.KindUsage},
		{"an authority's certificate", tsatest.Certificate{Extensions: with("extendedKeyUsage = critical, timeStamping", "basicConstraints = critical, CA:true")}, stamp.KindUsage},
		{"unknown critical extension", tsatest.Certificate{Extensions: with("extendedKeyUsage = critical, timeStamping", "1.2.3.4 = critical, ASN1:NULL")}, stamp.KindUnsupported},
		{"RSA of 1024 bits", tsatest.Certificate{Key: "rsa:1024"}, stamp.KindWeak},
		{"certificate signed with SHA-1", tsatest.Certificate{Digest: "sha1"}, stamp.KindWeak},
		{"certificate signed with MD5", tsatest.Certificate{Digest: "md5"}, stamp.KindWeak},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.certificate.Issuer = "ca"
			a.Certify("other", c.certificate)
			_, err := stamp.Verify(a.Sign(info().DER(), tsatest.Signing{Signers: []string{"other"}}), imprint, policyOf(t, a))
			want(t, err, c.want)
		})
	}
	for _, c := range []struct {
		name string
		ca   tsatest.Certificate
		want stamp.Kind
	}{
		{"issuer of RSA 1024", tsatest.Certificate{Key: "rsa:1024"}, stamp.KindWeak},
		{"issuer signed with SHA-1", tsatest.Certificate{Digest: "sha1"}, stamp.KindWeak},
		{"issuer for e-mail only", tsatest.Certificate{Extensions: tsatest.CAExtensions + "\nextendedKeyUsage = emailProtection"}, stamp.KindUsage},
		{"issuer that may not issue", tsatest.Certificate{Extensions: "basicConstraints = critical, CA:true\nkeyUsage = critical, cRLSign"}, stamp.KindUntrusted},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.ca.Issuer = "root"
			if c.ca.Extensions == "" {
				c.ca.Extensions = tsatest.CAExtensions
			}
			a.Certify("ca", c.ca)
			a.Certify("tsa", tsatest.Certificate{Issuer: "ca"})
			_, err := stamp.Verify(a.Sign(info().DER(), tsatest.Signing{}), imprint, policyOf(t, a))
			want(t, err, c.want)
		})
	}
}

func TestWeakDigests(t *testing.T) {
	for _, digest := range []string{"sha1", "md5"} {
		a := tsatest.StartWith(t, tsatest.Config{Digest: digest})
		a.Certify("tsa", tsatest.Certificate{Issuer: "ca", Key: "rsa"})
		_, err := stamp.Verify(a.Token(imprint), imprint, policyOf(t, a))
		want(t, err, stamp.KindWeak)
	}
	a := tsatest.Start(t)
	in := info()
	in.Hash, in.Imprint = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, imprint[:20]
	_, err := stamp.Verify(a.Sign(in.DER(), tsatest.Signing{}), imprint, policyOf(t, a))
	want(t, err, stamp.KindWeak)
	in.Hash, in.Imprint = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 8}, imprint[:] // SHA3-256
	_, err = stamp.Verify(a.Sign(in.DER(), tsatest.Signing{}), imprint, policyOf(t, a))
	want(t, err, stamp.KindImprint)
}

// TestPolicy: one token, and what is asked of it.
func TestPolicy(t *testing.T) {
	a, b := tsatest.Start(t), tsatest.StartWith(t, tsatest.Config{Name: "Other"})
	a.SetTime(at)
	token := a.Token(imprint)
	certificates := []*x509.Certificate{a.Certificate("tsa"), a.Certificate("ca")}
	bare := a.Sign(info().DER(), tsatest.Signing{Chain: "none"})
	a.Certify("twin", tsatest.Certificate{Issuer: "ca", KeyOf: "tsa"})
	byKey := a.Sign(info().DER(), tsatest.Signing{Chain: "none", Options: []string{"-keyid"}})
	noncedInfo := info()
	noncedInfo.Nonce = big.NewInt(5)
	nonced := a.Sign(noncedInfo.DER(), tsatest.Signing{})
	spki := sha256.Sum256(a.Certificate("ca").RawSubjectPublicKeyInfo)
	for _, c := range []struct {
		name    string
		token   []byte
		imprint [32]byte
		policy  func(*stamp.Policy)
		want    stamp.Kind
	}{
		{"nothing more", token, imprint, func(*stamp.Policy) {}, ""},
		{"another imprint", token, sha256.Sum256(nil), func(*stamp.Policy) {}, stamp.KindImprint},
		{"no root", token, imprint, func(p *stamp.Policy) { p.Roots = nil }, stamp.KindUntrusted},
		{"another root", token, imprint, func(p *stamp.Policy) { *p = policyOf(t, b) }, stamp.KindUntrusted},
		{"one of two roots", token, imprint, func(p *stamp.Policy) { p.Roots = append(policyOf(t, b).Roots, p.Roots...) }, ""},
		{"the signer itself as root", token, imprint, func(p *stamp.Policy) { p.Roots = certificates[:1] }, ""},
		{"the issuer as root", token, imprint, func(p *stamp.Policy) { p.Roots = certificates[1:] }, ""},
		{"policy", token, imprint, func(p *stamp.Policy) { p.Policies = []string{tsatest.OtherPolicy, tsatest.Policy} }, ""},
		{"another policy", token, imprint, func(p *stamp.Policy) { p.Policies = []string{tsatest.OtherPolicy} }, stamp.KindPolicy},
		{"pinned root", token, imprint, func(p *stamp.Policy) { p.Pins = []stamp.Digest{sha256.Sum256(p.Roots[0].Raw)} }, ""},
		{"pinned key of the issuer", token, imprint, func(p *stamp.Policy) { p.Pins = []stamp.Digest{{}, spki} }, ""},
		{"another pin", token, imprint, func(p *stamp.Policy) { p.Pins = []stamp.Digest{imprint} }, stamp.KindPin},
		{"nonce", nonced, imprint, func(p *stamp.Policy) { p.Nonce = big.NewInt(5) }, ""},
		{"another nonce", nonced, imprint, func(p *stamp.Policy) { p.Nonce = big.NewInt(6) }, stamp.KindNonce},
		{"no nonce", token, imprint, func(p *stamp.Policy) { p.Nonce = big.NewInt(5) }, stamp.KindNonce},
		{"clock a minute behind the authority's", token, imprint, func(p *stamp.Policy) { p.Now = at.Add(-time.Minute) }, ""},
		{"from the future", token, imprint, func(p *stamp.Policy) { p.Now = at.Add(-time.Hour) }, stamp.KindFuture},
		{"twenty years on", token, imprint, func(p *stamp.Policy) { p.Now = at.AddDate(20, 0, 0) }, ""},
		{"no certificates", bare, imprint, func(*stamp.Policy) {}, stamp.KindCertificate},
		{"certificates kept elsewhere", bare, imprint, func(p *stamp.Policy) { p.Certificates = certificates }, ""},
		{"signer kept, issuer lost", bare, imprint, func(p *stamp.Policy) { p.Certificates = certificates[:1] }, stamp.KindUntrusted},
		{"another certificate for the same key", byKey, imprint, func(p *stamp.Policy) {
			p.Certificates = []*x509.Certificate{a.Certificate("twin"), a.Certificate("ca")}
		}, stamp.KindCertificate},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := policyOf(t, a)
			c.policy(&p)
			_, err := stamp.Verify(c.token, c.imprint, p)
			want(t, err, c.want)
		})
	}
}

func TestZeroNowPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_, _ = stamp.Verify(nil, imprint, stamp.Policy{})
}

func TestCertificatesOfPEM(t *testing.T) {
	a := tsatest.Start(t)
	two := slices.Concat([]byte("what OpenSSL writes first\n"), a.Roots, pemOf(a, "ca"))
	if all, err := stamp.Certificates(two); err != nil || len(all) != 2 {
		t.Errorf("%d certificates, %v", len(all), err)
	}
	key := must(os.ReadFile(filepath.Join(a.Folder, "tsa.key")))
	for name, file := range map[string][]byte{
		"empty":         nil,
		"DER":           a.Certificate("ca").Raw,
		"a key":         key,
		"a key as well": slices.Concat(a.Roots, key),
		"cut":           a.Roots[:len(a.Roots)-20],
		"second cut":    two[:len(two)-20],
		"no X.509":      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{0x30, 0}}),
	} {
		if all, err := stamp.Certificates(file); err == nil {
			t.Errorf("%s: read as %d certificates", name, len(all))
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, key := range []string{"ec", "rsa"} {
		a := tsatest.StartWith(b, tsatest.Config{Key: key})
		token, p := a.Token(imprint), policyOf(b, a)
		b.Run(fmt.Sprintf("%s-%dbytes", key, len(token)), func(b *testing.B) {
			for b.Loop() {
				if _, err := stamp.Verify(token, imprint, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
