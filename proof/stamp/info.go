package stamp

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"math/big"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const (
	oidQCStatements   = "1.3.6.1.5.5.7.1.3"
	oidQualifiedStamp = "0.4.0.19422.1.1" // esi4-qtstStatement-1 of EN 319 422
)

// info is a TSTInfo, RFC 3161 section 2.4.2.
type info struct {
	policy    string
	algorithm algorithm // of the imprint
	imprint   []byte
	serial    *big.Int
	time      time.Time
	accuracy  time.Duration
	ordering  bool
	nonce     *big.Int          // nil if absent
	name      cryptobyte.String // a GeneralName in DER; empty if absent
	qualified bool
}

var errInfo = refuse(KindSyntax, "the token's content is no TSTInfo in DER")

func parseInfo(content []byte) (info, error) {
	var in info
	var version int
	var body, imprint, at cryptobyte.String
	input := cryptobyte.String(content)
	if err := checkDER(input, 0); err != nil {
		return in, errInfo
	}
	if !input.ReadASN1(&body, asn1.SEQUENCE) || !input.Empty() || !body.ReadASN1Integer(&version) || version != 1 {
		return in, errInfo
	}
	var ok bool
	if in.policy, ok = readOID(&body); !ok || !body.ReadASN1(&imprint, asn1.SEQUENCE) {
		return in, errInfo
	}
	if in.algorithm, ok = readAlgorithm(&imprint); !ok || !imprint.ReadASN1Bytes(&in.imprint, asn1.OCTET_STRING) || !imprint.Empty() {
		return in, errInfo
	}
	in.serial = new(big.Int)
	if !body.ReadASN1Integer(in.serial) || !body.ReadASN1(&at, asn1.GeneralizedTime) {
		return in, errInfo
	}
	var err error
	if in.time, err = parseTime(string(at)); err != nil {
		return in, err
	}
	if err = in.parseRest(body); err != nil {
		return in, err
	}
	return in, nil
}

// parseRest reads the fields that are optional.
func (in *info) parseRest(body cryptobyte.String) error {
	if body.PeekASN1Tag(asn1.SEQUENCE) {
		var accuracy cryptobyte.String
		if !body.ReadASN1(&accuracy, asn1.SEQUENCE) || !in.parseAccuracy(accuracy) {
			return refuse(KindSyntax, "the accuracy of the token is not one")
		}
	}
	if body.PeekASN1Tag(asn1.BOOLEAN) && (!body.ReadASN1Boolean(&in.ordering) || !in.ordering) {
		return errInfo // false is the default, which DER leaves out
	}
	if body.PeekASN1Tag(asn1.INTEGER) {
		in.nonce = new(big.Int)
		if !body.ReadASN1Integer(in.nonce) {
			return errInfo
		}
	}
	var extensions cryptobyte.String
	var named, extended bool
	if !body.ReadOptionalASN1(&in.name, &named, tagContext(0)) || named && in.name.Empty() {
		return errInfo
	}
	if !body.ReadOptionalASN1(&extensions, &extended, tagContext(1)) || extended && extensions.Empty() || !body.Empty() {
		return errInfo
	}
	for seen := map[string]bool{}; !extensions.Empty(); {
		if err := in.parseExtension(&extensions, seen); err != nil {
			return err
		}
	}
	return nil
}

func (in *info) parseAccuracy(s cryptobyte.String) bool {
	var seconds, milli, micro int64
	if s.PeekASN1Tag(asn1.INTEGER) && (!s.ReadASN1Integer(&seconds) || seconds < 0 || seconds > int64(100*365*24*time.Hour/time.Second)) {
		return false
	}
	for n, value := range []*int64{&milli, &micro} {
		tag := asn1.Tag(n).ContextSpecific()
		if s.PeekASN1Tag(tag) && (!s.ReadASN1Int64WithTag(value, tag) || *value < 1 || *value > 999) {
			return false
		}
	}
	in.accuracy = time.Duration(seconds)*time.Second + time.Duration(milli)*time.Millisecond + time.Duration(micro)*time.Microsecond
	return s.Empty()
}

// parseExtension reads one extension. Of those known, only the claim to be qualified matters here.
func (in *info) parseExtension(s *cryptobyte.String, seen map[string]bool) error {
	var e, value cryptobyte.String
	var critical bool
	if !s.ReadASN1(&e, asn1.SEQUENCE) {
		return errInfo
	}
	oid, ok := readOID(&e)
	if !ok || seen[oid] {
		return errInfo
	}
	seen[oid] = true
	if e.PeekASN1Tag(asn1.BOOLEAN) && (!e.ReadASN1Boolean(&critical) || !critical) {
		return errInfo
	}
	if !e.ReadASN1(&value, asn1.OCTET_STRING) || !e.Empty() {
		return errInfo
	}
	if oid != oidQCStatements {
		if critical {
			return refuse(KindUnsupported, "the token has a critical extension %s that is not known here", oid)
		}
		return nil
	}
	var statements, statement cryptobyte.String
	if !value.ReadASN1(&statements, asn1.SEQUENCE) || !value.Empty() {
		return errInfo
	}
	for !statements.Empty() {
		if !statements.ReadASN1(&statement, asn1.SEQUENCE) {
			return errInfo
		}
		id, ok := readOID(&statement)
		if !ok {
			return errInfo
		}
		in.qualified = in.qualified || id == oidQualifiedStamp
	}
	return nil
}

// parseTime reads "20260401120000Z" or "20260401120000.123Z". RFC 3161 has the fraction without zeros at its end.
func parseTime(s string) (time.Time, error) {
	digits, utc := strings.CutSuffix(s, "Z")
	whole, fraction, dotted := strings.Cut(digits, ".")
	wrong := !utc || len(whole) != len("20060102150405") || strings.Trim(whole, "0123456789") != "" ||
		dotted && (fraction == "" || strings.Trim(fraction, "0123456789") != "" || strings.HasSuffix(fraction, "0"))
	if wrong {
		return time.Time{}, refuse(KindSyntax, "the token's time %.40q is not a UTC time in DER", s)
	}
	if len(fraction) > 9 {
		return time.Time{}, refuse(KindUnsupported, "the token's time %.40q is finer than a nanosecond", s)
	}
	layout := "20060102150405"
	if dotted {
		layout += "." + strings.Repeat("0", len(fraction))
	}
	t, err := time.Parse(layout, digits)
	if err != nil {
		return time.Time{}, refuse(KindSyntax, "the token's time %.40q is not on the calendar", s)
	}
	if t.Year() < 2000 {
		return time.Time{}, refuse(KindValidity, "a time stamp of %d, before there were any", t.Year())
	}
	return t, nil
}

// answers checks what the token says against what was asked.
func (in info) answers(imprint [sha256.Size]byte, policy Policy) error {
	switch {
	case in.algorithm.oid == oidSHA1 || in.algorithm.oid == oidMD5:
		return refuse(KindWeak, "the token is of a %s digest", weakNames[in.algorithm.oid])
	case in.algorithm.oid != oidSHA256 || !in.algorithm.plain():
		return refuse(KindImprint, "the token is of a digest by algorithm %s, not SHA-256", in.algorithm.oid)
	case !bytes.Equal(in.imprint, imprint[:]):
		return refuse(KindImprint, "the token is of another digest, %x, not %x", in.imprint, imprint)
	case policy.Nonce != nil && in.nonce == nil:
		return refuse(KindNonce, "the token lacks the nonce of the request")
	case policy.Nonce != nil && in.nonce.Cmp(policy.Nonce) != 0:
		return refuse(KindNonce, "the token answers another request: its nonce is %x, not %x", in.nonce, policy.Nonce)
	case len(policy.Policies) > 0 && !slices.Contains(policy.Policies, in.policy):
		return refuse(KindPolicy, "the authority worked under policy %s, not under %s", in.policy, strings.Join(policy.Policies, " or "))
	case in.time.After(policy.Now.Add(maxSkew)):
		return refuse(KindFuture, "the token is of %s, which is after %s: one of the two clocks is wrong", in.time.Format(time.RFC3339Nano), policy.Now.UTC().Format(time.RFC3339))
	}
	return nil
}

// checkName checks that the name of the authority, if the token has one, is one of the certificate's.
func (in info) checkName(signer *x509.Certificate) error {
	if in.name.Empty() {
		return nil
	}
	var name, other cryptobyte.String
	s := in.name
	if !s.ReadAnyASN1Element(&name, nil) || !s.Empty() {
		return errInfo
	}
	var b cryptobyte.Builder
	b.AddASN1(tagContext(4), func(b *cryptobyte.Builder) { b.AddBytes(signer.RawSubject) })
	if bytes.Equal(name, b.BytesOrPanic()) {
		return nil
	}
	for _, e := range signer.Extensions {
		if e.Id.String() != "2.5.29.17" { // subjectAltName
			continue
		}
		names := cryptobyte.String(e.Value)
		if !names.ReadASN1(&names, asn1.SEQUENCE) {
			break
		}
		for names.ReadAnyASN1Element(&other, nil) {
			if bytes.Equal(name, other) {
				return nil
			}
		}
	}
	return refuse(KindCertificate, "the token names an authority that its certificate, of %s, does not", signer.Subject)
}
