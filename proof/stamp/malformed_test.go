package stamp_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/filigrane/filigrane/proof/stamp"
	"github.com/filigrane/filigrane/proof/stamp/tsatest"
)

// element is a piece of DER: a primitive with its bytes, or a constructed one with its parts.
type element struct {
	tag   byte
	bytes []byte
	parts []*element
}

func parse(der []byte) []*element {
	var all []*element
	for len(der) > 0 {
		var raw asn1.RawValue
		rest := must(asn1.Unmarshal(der, &raw))
		e := &element{tag: der[0]}
		if raw.IsCompound {
			e.parts = parse(raw.Bytes)
		} else {
			e.bytes = bytes.Clone(raw.Bytes)
		}
		all, der = append(all, e), rest
	}
	return all
}

func (e *element) der() []byte {
	body := bytes.Clone(e.bytes)
	for _, p := range e.parts {
		body = append(body, p.der()...)
	}
	out := []byte{e.tag}
	switch n := len(body); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	default:
		out = append(out, 0x82, byte(n>>8), byte(n))
	}
	return append(out, body...)
}

// parts of a token that tests change.
type parts struct {
	token, data, signer, attributes *element
}

func take(token []byte) parts {
	p := parts{token: parse(token)[0]}
	p.data = p.token.parts[1].parts[0]
	p.signer = p.data.parts[len(p.data.parts)-1].parts[0]
	p.attributes = p.signer.parts[3]
	return p
}

// sign signs the attributes again, with the signer's own key: what is refused then is so for what it says.
func (p parts) sign(t *testing.T, a *tsatest.Authority) {
	t.Helper()
	block, _ := pem.Decode(must(os.ReadFile(filepath.Join(a.Folder, "tsa.key"))))
	key := must(x509.ParsePKCS8PrivateKey(block.Bytes)).(crypto.Signer)
	signed := p.attributes.der()
	signed[0] = 0x31
	sum := sha256.Sum256(signed)
	p.signer.parts[5].bytes = must(key.Sign(rand.Reader, sum[:], crypto.SHA256))
}

func (p parts) sorted() {
	slices.SortFunc(p.attributes.parts, func(a, b *element) int { return bytes.Compare(a.der(), b.der()) })
}

func oid(arcs ...int) *element { return parse(must(asn1.Marshal(asn1.ObjectIdentifier(arcs))))[0] }

var null = &element{tag: 5}

// attribute finds an attribute by the end of its type's DER.
func (p parts) attribute(end ...byte) int {
	return slices.IndexFunc(p.attributes.parts, func(e *element) bool { return bytes.HasSuffix(e.parts[0].bytes, end) })
}

// The ends of contentType, messageDigest, signingTime and signingCertificateV2.
var (
	contentType   = []byte{9, 3}
	messageDigest = []byte{9, 4}
	signingTime   = []byte{9, 5}
	certificateV2 = []byte{16, 2, 47}
)

// TestTokensThatAreSignedWrong changes what is signed, and signs it again.
func TestTokensThatAreSignedWrong(t *testing.T) {
	a := tsatest.Start(t)
	whole := a.Token(imprint)
	remove := func(end []byte) func(parts) {
		return func(p parts) {
			i := p.attribute(end...)
			p.attributes.parts = slices.Delete(p.attributes.parts, i, i+1)
		}
	}
	algorithmProtection := func(digest byte) func(parts) {
		return func(p parts) {
			copied := &element{tag: 0x30, parts: []*element{{tag: 0x30, parts: []*element{oid(2, 16, 840, 1, 101, 3, 4, 2, int(digest))}}, {tag: 0xa1, parts: p.signer.parts[4].parts}}}
			if len(p.signer.parts[2].parts) == 2 {
				copied.parts[0].parts = append(copied.parts[0].parts, null)
			}
			p.attributes.parts = append(p.attributes.parts, &element{tag: 0x30, parts: []*element{oid(1, 2, 840, 113549, 1, 9, 52), {tag: 0x31, parts: []*element{copied}}}})
		}
	}
	for _, c := range []struct {
		name   string
		change func(parts)
		want   stamp.Kind
	}{
		{"nothing", func(parts) {}, ""},
		{"no signing time", remove(signingTime), ""},
		{"no content type", remove(contentType), stamp.KindAttributes},
		{"no message digest", remove(messageDigest), stamp.KindAttributes},
		{"no certificate named", remove(certificateV2), stamp.KindAttributes},
		{"an attribute twice", func(p parts) {
			p.attributes.parts = append(p.attributes.parts, p.attributes.parts[p.attribute(messageDigest...)])
		}, stamp.KindAttributes},
		{"an attribute with two values", func(p parts) {
			v := p.attributes.parts[p.attribute(messageDigest...)].parts[1]
			v.parts = append(v.parts, v.parts[0])
		}, stamp.KindAttributes},
		{"an attribute without value", func(p parts) { p.attributes.parts[p.attribute(messageDigest...)].parts[1].parts = nil }, stamp.KindAttributes},
		{"another content type", func(p parts) {
			p.attributes.parts[p.attribute(contentType...)].parts[1].parts[0] = oid(1, 2, 840, 113549, 1, 7, 1)
		}, stamp.KindAttributes},
		{"another message digest", func(p parts) { p.attributes.parts[p.attribute(messageDigest...)].parts[1].parts[0].bytes[3] ^= 1 }, stamp.KindSignature},
		{"another certificate named", func(p parts) {
			p.attributes.parts[p.attribute(certificateV2...)].parts[1].parts[0].parts[0].parts[0].parts[0].bytes[0] ^= 1
		}, stamp.KindCertificate},
		{"a certificate named by MD5", func(p parts) {
			id := p.attributes.parts[p.attribute(certificateV2...)].parts[1].parts[0].parts[0].parts[0]
			id.parts = append([]*element{{tag: 0x30, parts: []*element{oid(1, 2, 840, 113549, 2, 5)}}}, id.parts...)
		}, stamp.KindWeak},
		{"algorithms signed too", algorithmProtection(1), ""},
		{"other algorithms signed", algorithmProtection(2), stamp.KindAttributes},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := take(whole)
			c.change(p)
			p.sorted()
			p.sign(t, a)
			_, err := stamp.Verify(p.token.der(), imprint, policyOf(t, a))
			want(t, err, c.want)
		})
	}
	t.Run("attributes out of order", func(t *testing.T) {
		p := take(whole)
		slices.Reverse(p.attributes.parts)
		p.sign(t, a)
		_, err := stamp.Verify(p.token.der(), imprint, policyOf(t, a))
		want(t, err, stamp.KindSyntax)
	})
}

// TestTokensOfAnotherShape changes what no signature covers.
func TestTokensOfAnotherShape(t *testing.T) {
	a := tsatest.Start(t)
	a.Certify("second", tsatest.Certificate{Issuer: "ca"})
	b, r := tsatest.StartWith(t, tsatest.Config{Name: "Other"}), tsatest.Start(t)
	r.Certify("tsa", tsatest.Certificate{Issuer: "ca", Key: "rsa"})
	whole := a.Token(imprint)
	set := func(e *element, parts ...*element) { e.parts = parts }
	for _, c := range []struct {
		name   string
		change func(parts)
		want   stamp.Kind
	}{
		{"nothing", func(parts) {}, ""},
		{"unsigned attribute", func(p parts) {
			p.signer.parts = append(p.signer.parts, &element{tag: 0xa1, parts: []*element{{tag: 0x30, parts: []*element{oid(1, 2, 3), {tag: 0x31, parts: []*element{null}}}}}})
		}, stamp.KindAttributes},
		{"no signed attributes", func(p parts) { p.signer.parts = slices.Delete(p.signer.parts, 3, 4) }, stamp.KindAttributes},
		{"the signer twice", func(p parts) { e := p.data.parts[len(p.data.parts)-1]; set(e, p.signer, p.signer) }, stamp.KindSigners},
		{"no signer", func(p parts) { set(p.data.parts[len(p.data.parts)-1]) }, stamp.KindSigners},
		{"two digest algorithms", func(p parts) { e := p.data.parts[1]; e.parts = append(e.parts, e.parts[0]) }, stamp.KindSigners},
		{"another digest algorithm in the set", func(p parts) {
			set(p.data.parts[1], &element{tag: 0x30, parts: []*element{oid(2, 16, 840, 1, 101, 3, 4, 2, 3), null}})
		}, stamp.KindSigners},
		{"a stranger's certificate", func(p parts) {
			e := p.data.parts[3]
			e.parts = append(e.parts, parse(b.Certificate("tsa").Raw)[0])
		}, stamp.KindStray},
		{"a certificate that is none", func(p parts) { e := p.data.parts[3]; e.parts = append(e.parts, &element{tag: 0x30}) }, stamp.KindSyntax},
		{"a certificate with a key of 40,000 bits", func(p parts) {
			huge := parse(r.Certificate("tsa").Raw)[0]
			bits := huge.parts[0].parts[6].parts[1] // subjectPublicKeyInfo's BIT STRING, its first byte the unused bits
			key := parse(bits.bytes[1:])[0]
			key.parts[0].bytes = bytes.Repeat([]byte{0x7f}, 5000)
			bits.bytes = append([]byte{0}, key.der()...)
			e := p.data.parts[3]
			e.parts = append(e.parts, huge)
		}, stamp.KindUnsupported},
		{"an attribute certificate", func(p parts) { e := p.data.parts[3]; e.parts = append(e.parts, &element{tag: 0xa2}) }, stamp.KindUnsupported},
		{"no certificates", func(p parts) { p.data.parts = slices.Delete(p.data.parts, 3, 4) }, stamp.KindCertificate},
		{"version 1", func(p parts) { p.data.parts[0].bytes = []byte{1} }, stamp.KindSyntax},
		{"signer of version 3", func(p parts) { p.signer.parts[0].bytes = []byte{3} }, stamp.KindSyntax},
		{"no content", func(p parts) { p.data.parts[2].parts = p.data.parts[2].parts[:1] }, stamp.KindSyntax},
		{"content of another type", func(p parts) { p.data.parts[2].parts[0] = oid(1, 2, 840, 113549, 1, 7, 1) }, stamp.KindType},
		{"no signed data", func(p parts) { p.token.parts[0] = oid(1, 2, 840, 113549, 1, 7, 3) }, stamp.KindType},
		{"another signature algorithm", func(p parts) { p.signer.parts[4].parts[0] = oid(1, 2, 840, 10045, 4, 3, 4) }, stamp.KindUnsupported},
		{"signature by SHA-1", func(p parts) { p.signer.parts[4].parts[0] = oid(1, 2, 840, 10045, 4, 1) }, stamp.KindWeak},
		{"signature of another kind of key", func(p parts) { p.signer.parts[4].parts = []*element{oid(1, 2, 840, 113549, 1, 1, 1), null} }, stamp.KindSignature},
		{"something after the signature", func(p parts) { p.signer.parts = append(p.signer.parts, null) }, stamp.KindSyntax},
		{"nested without end", func(p parts) {
			e := &element{tag: 0x30}
			for range 200 {
				e = &element{tag: 0x30, parts: []*element{e}}
			}
			p.signer.parts = append(p.signer.parts, e)
		}, stamp.KindSyntax},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := take(whole)
			c.change(p)
			_, err := stamp.Verify(p.token.der(), imprint, policyOf(t, a))
			want(t, err, c.want)
		})
	}
	indefinite := slices.Concat([]byte{0x30, 0x80}, whole[4:], []byte{0, 0})
	long := slices.Concat([]byte{0x30, 0x83, 0}, whole[2:])
	for name, token := range map[string][]byte{"empty": nil, "text": []byte("<html>502 Bad Gateway</html>"), "indefinite length (BER)": indefinite, "length in too many bytes": long,
		"a byte after": append(bytes.Clone(whole), 0), "twice": append(bytes.Clone(whole), whole...), "the whole response": tsatest.Response(whole),
		"too long": append(bytes.Clone(whole), make([]byte, stamp.MaxToken)...)} {
		t.Run(name, func(t *testing.T) {
			_, err := stamp.Verify(token, imprint, policyOf(t, a))
			want(t, err, stamp.KindSyntax)
		})
	}
	for name, s := range map[string]tsatest.Signing{"two signers": {Signers: []string{"tsa", "second"}}} {
		t.Run(name, func(t *testing.T) {
			_, err := stamp.Verify(a.Sign(info().DER(), s), imprint, policyOf(t, a))
			want(t, err, stamp.KindSigners)
		})
	}
	t.Run("something else, signed by the authority", func(t *testing.T) {
		_, err := stamp.Verify(a.Sign(info().DER(), tsatest.Signing{Type: "1.2.840.113549.1.9.16.1.1"}), imprint, policyOf(t, a))
		want(t, err, stamp.KindType)
	})
}

// TestContentsThatAreNone has the authority sign contents that are no TSTInfo, or say what cannot be.
func TestContentsThatAreNone(t *testing.T) {
	a := tsatest.Start(t)
	verify := func(t *testing.T, content []byte, kind stamp.Kind) stamp.Stamp {
		t.Helper()
		s, err := stamp.Verify(a.Sign(content, tsatest.Signing{}), imprint, policyOf(t, a))
		want(t, err, kind)
		return s
	}
	for raw, c := range map[string]struct {
		want stamp.Kind
		time time.Time
	}{
		"20240601120000Z":            {"", time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)},
		"20240601120000.5Z":          {"", time.Date(2024, 6, 1, 12, 0, 0, 5e8, time.UTC)},
		"20240601120000.000000001Z":  {"", time.Date(2024, 6, 1, 12, 0, 0, 1, time.UTC)},
		"20240601120000.0000000001Z": {stamp.KindUnsupported, time.Time{}},
		"20240601120000.50Z":         {stamp.KindSyntax, time.Time{}},
		"20240601120000.Z":           {stamp.KindSyntax, time.Time{}},
		"20240601120000,5Z":          {stamp.KindSyntax, time.Time{}},
		"20240601120000":             {stamp.KindSyntax, time.Time{}},
		"20240601120000+0100":        {stamp.KindSyntax, time.Time{}},
		"202406011200Z":              {stamp.KindSyntax, time.Time{}},
		"20240631120000Z":            {stamp.KindSyntax, time.Time{}},
		"20240601120060Z":            {stamp.KindSyntax, time.Time{}},
		"00010101000000Z":            {stamp.KindValidity, time.Time{}},
		"20190601120000Z":            {stamp.KindValidity, time.Time{}},
		"20470601120000Z":            {stamp.KindFuture, time.Time{}},
	} {
		t.Run(raw, func(t *testing.T) {
			in := info()
			in.Raw = raw
			if s := verify(t, in.DER(), c.want); !s.Time.Equal(c.time) {
				t.Errorf("read as %s", s.Time)
			}
		})
	}
	no, yes := []byte{1, 1, 0}, []byte{1, 1, 0xff}
	sequence := func(b ...byte) []byte { return append([]byte{0x30, byte(len(b))}, b...) }
	name := func(inner []byte) []byte { return append([]byte{0xa0, byte(len(inner))}, inner...) }
	directory := func(subject []byte) []byte { return name(append([]byte{0xa4, byte(len(subject))}, subject...)) }
	for _, c := range []struct {
		name string
		rest []byte
		want stamp.Kind
	}{
		{"nothing", nil, ""},
		{"accuracy of a second", sequence(2, 1, 1), ""},
		{"accuracy of a microsecond", sequence(0x81, 1, 1), ""},
		{"accuracy of 1000 ms", sequence(0x80, 2, 3, 0xe8), stamp.KindSyntax},
		{"accuracy of minus a second", sequence(2, 1, 0xff), stamp.KindSyntax},
		{"accuracy of 68 years and more", sequence(2, 5, 1, 0, 0, 0, 0), stamp.KindSyntax},
		{"accuracy out of order", sequence(0x81, 1, 1, 0x80, 1, 1), stamp.KindSyntax},
		{"ordered", yes, ""},
		{"unordered, which goes without saying", no, stamp.KindSyntax},
		{"a boolean of 1", []byte{1, 1, 1}, stamp.KindSyntax},
		{"its own name", directory(a.Certificate("tsa").RawSubject), ""},
		{"another's name", directory(a.Certificate("ca").RawSubject), stamp.KindCertificate},
		{"a name in the web", name([]byte{0x86, 3, 'a', ':', 'b'}), stamp.KindCertificate},
		{"a name that is none", name([]byte{0x86}), stamp.KindSyntax},
		{"unknown critical extension", extension(asn1.ObjectIdentifier{1, 2, 3}, true, nil), stamp.KindUnsupported},
		{"an extension twice", func() []byte {
			e := extension(asn1.ObjectIdentifier{1, 2, 3}, false, nil)[2:]
			return append([]byte{0xa1, byte(2 * len(e))}, append(e, e...)...)
		}(), stamp.KindSyntax},
		{"no extensions", []byte{0xa1, 0}, stamp.KindSyntax},
		{"something more", []byte{5, 0}, stamp.KindSyntax},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := info()
			in.Rest = c.rest
			verify(t, in.DER(), c.want)
		})
	}
	short := info()
	short.Imprint = imprint[:31]
	verify(t, short.DER(), stamp.KindImprint)
	verify(t, append(info().DER(), 0), stamp.KindSyntax)
	verify(t, []byte("hello"), stamp.KindSyntax)
	verify(t, bytes.Replace(info().DER(), []byte{2, 1, 1}, []byte{2, 1, 2}, 1), stamp.KindSyntax) // the version
}

// TestNoByteCanBeChanged: at each position every bit alone and all of them; then each length.
func TestNoByteCanBeChanged(t *testing.T) {
	ec, rsa := tsatest.Start(t), tsatest.Start(t)
	rsa.Certify("tsa", tsatest.Certificate{Issuer: "ca", Key: "rsa"})
	for _, a := range []*tsatest.Authority{ec, rsa} {
		token := a.Token(imprint)
		p := policyOf(t, a)
		if _, err := stamp.Verify(token, imprint, p); err != nil {
			t.Fatal(err)
		}
		kinds := map[stamp.Kind]int{}
		for i, was := range token {
			values := []byte{^was}
			for bit := range 8 {
				values = append(values, was^1<<bit)
			}
			for _, now := range values {
				token[i] = now
				s, err := stamp.Verify(token, imprint, p)
				if err == nil {
					t.Errorf("byte %d of %d changed from %02x to %02x, and it is a time stamp of %s still", i, len(token), was, now, s.Time)
				}
				kinds[stamp.KindOf(err)]++
			}
			token[i] = was
		}
		for n := range token {
			if _, err := stamp.Verify(token[:n], imprint, p); stamp.KindOf(err) != stamp.KindSyntax {
				t.Errorf("the first %d bytes of %d: %v", n, len(token), err)
			}
		}
		t.Logf("%d bytes: %v", len(token), kinds)
	}
}

// TestTwoNamesOfOneAlgorithm is the one change that is not refused; it does not change what is reported but the
// token's digest.
func TestTwoNamesOfOneAlgorithm(t *testing.T) {
	a := tsatest.Start(t)
	a.Certify("tsa", tsatest.Certificate{Issuer: "ca", Key: "rsa"})
	token := a.Token(imprint)
	before, err := stamp.Verify(token, imprint, policyOf(t, a))
	if err != nil {
		t.Fatal(err)
	}
	p := take(token)
	p.signer.parts[4].parts[0] = oid(1, 2, 840, 113549, 1, 1, 11) // sha256WithRSAEncryption for rsaEncryption
	after, err := stamp.Verify(p.token.der(), imprint, policyOf(t, a))
	if err != nil {
		t.Fatal(err)
	}
	if before.Token == after.Token {
		t.Error("two tokens of one digest")
	}
	before.Token = after.Token
	if !before.Time.Equal(after.Time) || before.Serial.Cmp(after.Serial) != 0 || !slices.Equal(before.Chain, after.Chain) {
		t.Errorf("%+v became %+v", before, after)
	}
}

// FuzzVerify: nothing makes it panic, and what is accepted is a token that OpenSSL signed.
func FuzzVerify(f *testing.F) {
	a := tsatest.Start(f)
	token := a.Token(imprint)
	f.Add(token)
	f.Add(a.Sign(info().DER(), tsatest.Signing{Options: []string{"-keyid"}}))
	f.Add(info().DER())
	p := policyOf(f, a)
	chain := []stamp.Digest{sha256.Sum256(a.Certificate("tsa").Raw), sha256.Sum256(a.Certificate("ca").Raw), sha256.Sum256(a.Certificate("root").Raw)}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := stamp.Verify(b, imprint, p)
		if err == nil && !slices.Equal(s.Chain, chain) {
			t.Errorf("accepted with chain %s", s.Chain)
		}
		if err != nil && stamp.KindOf(err) == "" {
			t.Errorf("a refusal without a kind: %v", err)
		}
	})
}
