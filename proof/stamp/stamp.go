// Package stamp verifies RFC 3161 time stamps: a token says that an authority outside this house had seen a SHA-256
// digest at a time. The token is kept as the authority sent it; everything else is computed again from its bytes.
//
// Trust: nothing but Policy.Roots is believed. Whoever can write the token, the certificates or the revocation data
// gains nothing from it: what he changes is refused, with one of the Kinds. Whoever holds an authority's key can
// date what he likes, backwards too, which is why two authorities are better than one, and a log better than both.
//
// Time: chains are judged at the time in the token, not today. A certificate that has expired since is fine, and so
// is one that was revoked since for a reason that leaves earlier tokens standing; see Policy.Lists. The present is an
// argument: one set of bytes gives one answer, this year and in ten.
//
// Encoding: DER and nothing else, to the last byte. What no signature covers (versions, algorithms named twice, sets
// of certificates) must have the one value that it can have, and unsigned attributes or certificates that nothing
// needs are refused, so that hardly a byte of a token can be changed and none that matters. Two things are left, and
// neither changes what is reported: an RSA signature may be called rsaEncryption or by its full name, and certificates
// that a token has beside its chain are not looked at further: those above the root that was given, and cross
// certificates, second ones for a key of the chain.
//
// The package does no I/O and asks for neither the time nor random numbers. It needs nothing that a server needs:
// the standard library, cryptobyte and ocsp. Calls may run at the same time; arguments are only read.
package stamp

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// MaxToken is the longest token that is read, in bytes. Tokens with a chain of certificates have some 5 KB.
const MaxToken = 1 << 20

// maxAnswer is the longest OCSP response that is read, in bytes: some 2 KB are usual, and the library computes with
// any key in it.
const maxAnswer = 16 << 10

// maxSkew is by how much an authority's clock may be ahead of Policy.Now.
const maxSkew = 5 * time.Minute

// Digest is a SHA-256 digest. As text it is 64 hexadecimal digits.
type Digest [sha256.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes what String does.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads 64 hexadecimal digits, with or without colons between the bytes.
func (d *Digest) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(strings.ReplaceAll(string(text), ":", ""))
	if err != nil || len(b) != len(d) {
		return fmt.Errorf("stamp: %.80q is no SHA-256 digest, 64 hexadecimal digits", text)
	}
	copy(d[:], b)
	return nil
}

// Policy says which tokens are believed.
type Policy struct {
	// Roots are the certificates that chains must end in. Without one every token is refused.
	Roots []*x509.Certificate
	// Certificates may complete chains where the token does not hold them all. They are not trusted.
	Certificates []*x509.Certificate
	// Policies are the authority's policies that will do, as "1.3.6.1.4.1.13762.3". None: any.
	Policies []string
	// Pins: if there are any, one must be of a certificate in the chain, in DER, or of its SubjectPublicKeyInfo.
	Pins []Digest
	// Nonce is what the token must carry, if not nil.
	Nonce *big.Int

	// Lists and Answers are revocation lists (DER) and OCSP responses (DER) kept with the token; lists inside the
	// token are read too. Each must be signed by the issuer of a certificate in the chain (or by a responder that
	// it named) and say something about the time of the token: issued after it, or still in force then. A
	// certificate revoked by then is KindRevoked. One revoked later is KindCompromised, unless the reason given is
	// unspecified, affiliationChanged, superseded or cessationOfOperation: so RFC 3161, section 4. A reason that is
	// missing counts as a compromise, as it does there; OCSP cannot tell a missing one from unspecified.
	Lists, Answers [][]byte
	// NeedStatus refuses tokens unless each certificate of the chain but the root has such data.
	NeedStatus bool

	// Now is when this is asked. Tokens and revocation data may not be from after it, but for maxSkew.
	Now time.Time
}

// Stamp is what a verified token says.
type Stamp struct {
	Time      time.Time     // in UTC, with the fraction that the authority gave
	Accuracy  time.Duration // the true time is within Time -+ Accuracy; 0 where the authority left that to its policy
	Ordering  bool          // tokens of this authority can be ordered by Time alone
	Serial    *big.Int
	Policy    string // the authority's policy, as "1.3.6.1.4.1.13762.3"
	Authority string // the subject of the signer's certificate, as "CN=...,O=..."
	Nonce     *big.Int
	Qualified bool // the token claims to be a qualified one (EN 319 422); whether it is the trusted list tells

	Token    Digest   // of the token
	Chain    []Digest // of the certificates in DER, from the signer to the root
	Statuses []Status
}

// Latest returns the latest true time that the token allows: what it covers existed by then.
func (s Stamp) Latest() time.Time { return s.Time.Add(s.Accuracy) }

// Earliest returns the earliest true time that the token allows.
func (s Stamp) Earliest() time.Time { return s.Time.Add(-s.Accuracy) }

// Status is what a revocation list or an OCSP response said about a certificate.
type Status struct {
	Certificate Digest    // of the certificate in DER
	Source      string    // "crl" or "ocsp"
	Updated     time.Time // when the source's statement was true
	Revoked     time.Time // zero if it was not; after the token's time if it was
	Reason      string    // as RFC 5280 has it: "superseded"; empty if not revoked
}

// Verify checks that token is a time stamp of imprint, a SHA-256 digest, that policy lets be believed. The error is
// an *Error, whose Kind says what is wrong. It panics if policy.Now is zero.
func Verify(token []byte, imprint [sha256.Size]byte, policy Policy) (Stamp, error) {
	if policy.Now.IsZero() {
		panic("stamp: Policy.Now is zero")
	}
	sd, err := parseToken(token)
	if err != nil {
		return Stamp{}, err
	}
	info, err := parseInfo(sd.content)
	if err != nil {
		return Stamp{}, err
	}
	signer, err := sd.signer.find(append(append([]*x509.Certificate{}, sd.certificates...), policy.Certificates...))
	if err != nil {
		return Stamp{}, err
	}
	for _, check := range []func() error{
		func() error { return info.answers(imprint, policy) },
		func() error { return sd.signer.checkAttributes(sd.content, signer) },
		func() error { return checkUsage(signer) },
		func() error { return checkStrength(signer, false) },
		func() error { return sd.signer.checkSignature(signer) },
		func() error { return info.checkName(signer) },
	} {
		if err := check(); err != nil {
			return Stamp{}, err
		}
	}
	chain, err := sd.chain(signer, info.time, policy)
	if err != nil {
		return Stamp{}, err
	}
	statuses, err := revocation(chain, info.time, append(append([][]byte{}, sd.lists...), policy.Lists...), policy)
	if err != nil {
		return Stamp{}, err
	}
	s := Stamp{Time: info.time, Accuracy: info.accuracy, Ordering: info.ordering, Serial: info.serial, Policy: info.policy, Authority: signer.Subject.String(),
		Nonce: info.nonce, Qualified: info.qualified, Token: sha256.Sum256(token), Statuses: statuses}
	for _, c := range chain {
		s.Chain = append(s.Chain, digestOf(c))
	}
	return s, nil
}

// Certificates reads the certificates of a PEM file, one or more of them and no other block. Text between the blocks
// is skipped, as OpenSSL writes some.
func Certificates(file []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		block, rest := pem.Decode(file)
		switch {
		case block == nil && bytes.Contains(file, []byte("-----BEGIN")):
			return nil, fmt.Errorf("stamp: a PEM block is damaged")
		case block == nil && len(all) == 0:
			return nil, fmt.Errorf("stamp: no certificate in PEM; turn a DER file into one with openssl x509 -inform DER")
		case block == nil:
			return all, nil
		case block.Type != "CERTIFICATE":
			return nil, fmt.Errorf("stamp: a PEM block %q among the certificates; keep certificates alone in the file", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("stamp: certificate %d of the PEM file: %w", len(all)+1, err)
		}
		all, file = append(all, c), rest
	}
}
