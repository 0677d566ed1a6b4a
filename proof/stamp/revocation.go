package stamp

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"
)

// reasons are those of RFC 5280, section 5.3.1.
var reasons = map[int]string{0: "unspecified", 1: "keyCompromise", 2: "cACompromise", 3: "affiliationChanged", 4: "superseded",
	5: "cessationOfOperation", 6: "certificateHold", 8: "removeFromCRL", 9: "privilegeWithdrawn", 10: "aACompromise"}

// noReason stands where a certificate was revoked and nobody said why.
const noReason = "no reason given"

// harmless are the reasons that leave tokens from before the revocation standing: RFC 3161, section 4.1.
var harmless = []string{"unspecified", "affiliationChanged", "superseded", "cessationOfOperation"}

// statement is what one source says about one certificate, its signature checked.
type statement struct {
	source         string
	updated, until time.Time // until is zero if no end is given
	revoked        time.Time // zero if it was not
	reason         string
}

// errNotAbout means that a source is about other certificates.
var errNotAbout = errors.New("is about other certificates")

// revocation reads all revocation data and judges the chain at the time of the token.
func revocation(chain []*x509.Certificate, at time.Time, lists [][]byte, policy Policy) ([]Status, error) {
	said := make([][]statement, len(chain))
	hear := func(kind string, sources [][]byte, read func(der []byte, c, issuer *x509.Certificate) (statement, error)) error {
		for n, der := range sources {
			used := false
			var refusal *Error
			for i := range len(chain) - 1 {
				switch s, err := read(der, chain[i], chain[i+1]); {
				case errors.Is(err, errNotAbout):
				case errors.As(err, &refusal):
					return refuse(refusal.Kind, "%s %d: %s", kind, n+1, refusal.Detail)
				case err != nil:
					return refuse(KindStatus, "%s %d: %v", kind, n+1, err)
				case s.updated.After(policy.Now.Add(maxSkew)):
					return refuse(KindFuture, "%s %d is of %s, which has not come yet", kind, n+1, s.updated.Format(time.RFC3339))
				default:
					said[i], used = append(said[i], s), true
				}
			}
			if !used {
				return refuse(KindStray, "%s %d is about none of the certificates from %s to its root", kind, n+1, chain[0].Subject)
			}
		}
		return nil
	}
	if err := hear("revocation list", lists, readList); err != nil {
		return nil, err
	}
	if err := hear("OCSP response", policy.Answers, readAnswer); err != nil {
		return nil, err
	}
	var all []Status
	for i := range len(chain) - 1 {
		statuses, err := judge(chain[i], at, said[i], policy.NeedStatus)
		if err != nil {
			return nil, err
		}
		all = append(all, statuses...)
	}
	return all, nil
}

// judge says whether a certificate was good at the time of the token.
func judge(c *x509.Certificate, at time.Time, said []statement, need bool) ([]Status, error) {
	slices.SortFunc(said, func(a, b statement) int { return a.updated.Compare(b.updated) })
	var all []Status
	for _, s := range said {
		switch {
		case !s.revoked.IsZero() && !s.revoked.After(at):
			return nil, refuse(KindRevoked, "the certificate of %s was revoked on %s (%s), before the token of %s", c.Subject,
				s.revoked.Format(time.RFC3339), s.reason, at.Format(time.RFC3339Nano))
		case !s.revoked.IsZero() && !slices.Contains(harmless, s.reason):
			return nil, refuse(KindCompromised, "the certificate of %s was revoked on %s, after the token of %s, but the reason (%s) leaves older tokens in doubt; another authority's token of the same digest is needed",
				c.Subject, s.revoked.Format(time.RFC3339), at.Format(time.RFC3339Nano), s.reason)
		case s.revoked.IsZero() && !s.speaksOf(at, c):
			continue
		}
		all = append(all, Status{Certificate: digestOf(c), Source: s.source, Updated: s.updated, Revoked: s.revoked, Reason: s.reason})
	}
	if len(all) == 0 && (need || len(said) > 0) {
		return nil, refuse(KindStatus, "no revocation data says whether the certificate of %s was good on %s; get a list or an OCSP response issued after that time, before the certificate expires",
			c.Subject, at.Format(time.RFC3339Nano))
	}
	return all, nil
}

// speaksOf reports whether "not revoked" in s holds for the time of the token: s was made after it, and not so late
// that an expired certificate may have been dropped; or it was made before and was still in force.
func (s statement) speaksOf(at time.Time, c *x509.Certificate) bool {
	if s.updated.Before(at) {
		return !s.until.IsZero() && !s.until.Before(at)
	}
	return !s.updated.After(c.NotAfter)
}

// readList reads what a revocation list says about c, which issuer issued.
func readList(der []byte, c, issuer *x509.Certificate) (statement, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return statement{}, err
	}
	if len(list.Raw) != len(der) {
		return statement{}, errors.New("bytes after the list")
	}
	if !bytes.Equal(list.RawIssuer, issuer.RawSubject) {
		return statement{}, errNotAbout
	}
	if err := checkDigest(list.SignatureAlgorithm); err != nil {
		return statement{}, err
	}
	if err := list.CheckSignatureFrom(issuer); err != nil {
		return statement{}, fmt.Errorf("is not signed by %s: %w", issuer.Subject, err)
	}
	if err := checkScope(list, c); err != nil {
		return statement{}, err
	}
	s := statement{source: "crl", updated: list.ThisUpdate, until: list.NextUpdate}
	for _, entry := range list.RevokedCertificateEntries {
		if slices.ContainsFunc(entry.Extensions, func(e pkix.Extension) bool { return e.Critical }) {
			return s, errors.New("has an entry with a critical extension, as indirect lists have; ask for a direct one")
		}
		if entry.SerialNumber.Cmp(c.SerialNumber) != 0 {
			continue
		}
		reason := noReason
		if slices.ContainsFunc(entry.Extensions, func(e pkix.Extension) bool { return e.Id.String() == "2.5.29.21" }) {
			reason = reasonName(entry.ReasonCode)
		}
		if s.revoked.IsZero() || entry.RevocationTime.Before(s.revoked) {
			s.revoked, s.reason = entry.RevocationTime, reason
		}
	}
	return s, nil
}

func reasonName(code int) string {
	if name, ok := reasons[code]; ok {
		return name
	}
	return fmt.Sprintf("reason %d", code)
}

func checkDigest(a x509.SignatureAlgorithm) error {
	switch a {
	case x509.UnknownSignatureAlgorithm, x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1, x509.DSAWithSHA256:
		return fmt.Errorf("is signed with %s, which is not accepted", a)
	}
	return nil
}

// checkScope refuses lists that may leave c out although it was revoked: delta lists, and lists for some kinds or
// some parts of the certificates only.
//
//	IssuingDistributionPoint { [0] distributionPoint, [1] onlyContainsUserCerts, [2] onlyContainsCACerts,
//	    [3] onlySomeReasons, [4] indirectCRL, [5] onlyContainsAttributeCerts }
func checkScope(list *x509.RevocationList, c *x509.Certificate) error {
	for _, e := range list.Extensions {
		if e.Id.String() != "2.5.29.28" { // issuingDistributionPoint
			if e.Critical {
				return fmt.Errorf("has a critical extension %s that is not known here; ask for a full list", e.Id)
			}
			continue
		}
		var body, point cryptobyte.String
		var named, users, authorities bool
		value := cryptobyte.String(e.Value)
		if !value.ReadASN1(&body, asn1.SEQUENCE) || !value.Empty() || !body.ReadOptionalASN1(&point, &named, tagContext(0)) ||
			!readFlag(&body, 1, &users) || !readFlag(&body, 2, &authorities) {
			return errors.New("has a damaged distribution point")
		}
		switch {
		case !body.Empty():
			return errors.New("is indirect, or for some reasons or for attributes only; ask for a full list")
		case users && c.IsCA || authorities && !c.IsCA:
			return errNotAbout
		case named && !namesPoint(point, c):
			return errNotAbout
		}
	}
	return nil
}

// readFlag reads [n] IMPLICIT BOOLEAN DEFAULT FALSE.
func readFlag(s *cryptobyte.String, n uint8, flag *bool) bool {
	var value cryptobyte.String
	if !s.ReadOptionalASN1(&value, flag, asn1.Tag(n).ContextSpecific()) {
		return false
	}
	return !*flag || bytes.Equal(value, []byte{0xff})
}

// namesPoint reports whether one of the addresses of a list's distribution point is one of the certificate's.
//
//	DistributionPointName { [0] fullName GeneralNames }
func namesPoint(point cryptobyte.String, c *x509.Certificate) bool {
	var names, name cryptobyte.String
	var tag asn1.Tag
	if !point.ReadASN1(&names, tagContext(0)) {
		return false
	}
	for names.ReadAnyASN1(&name, &tag) {
		if tag == asn1.Tag(6).ContextSpecific() && slices.Contains(c.CRLDistributionPoints, string(name)) {
			return true
		}
	}
	return false
}

// readAnswer reads what an OCSP response says about c, which issuer issued. The library checks the signature, and
// that a certificate in the response was signed by the issuer; it checks neither what that certificate is for nor
// whose serial number the response means.
func readAnswer(der []byte, c, issuer *x509.Certificate) (statement, error) {
	if len(der) > maxAnswer {
		return statement{}, fmt.Errorf("has %d bytes, over %d", len(der), maxAnswer)
	}
	r, err := ocsp.ParseResponse(der, nil)
	if err != nil {
		return statement{}, fmt.Errorf("%w (a response about one certificate is read)", err)
	}
	about, err := isAbout(r, c, issuer)
	if err != nil {
		return statement{}, err
	}
	if !about {
		return statement{}, errNotAbout
	}
	if r, err = ocsp.ParseResponse(der, issuer); err != nil {
		return statement{}, fmt.Errorf("is not signed by %s or by a responder of its: %w", issuer.Subject, err)
	}
	if err := checkDigest(r.SignatureAlgorithm); err != nil {
		return statement{}, err
	}
	if d := r.Certificate; d != nil {
		switch {
		case !slices.Contains(d.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
			return statement{}, fmt.Errorf("is signed by %s, which is not a responder of %s", d.Subject, issuer.Subject)
		case !bytes.Equal(d.RawIssuer, issuer.RawSubject) || r.ProducedAt.Before(d.NotBefore) || r.ProducedAt.After(d.NotAfter):
			return statement{}, fmt.Errorf("is signed by %s, whose certificate was not valid on %s", d.Subject, r.ProducedAt.Format(time.RFC3339))
		}
		if err := checkStrength(d, false); err != nil {
			return statement{}, err
		}
	}
	s := statement{source: "ocsp", updated: r.ThisUpdate, until: r.NextUpdate}
	switch r.Status {
	case ocsp.Good:
	case ocsp.Revoked:
		s.revoked, s.reason = r.RevokedAt, noReason
		if r.RevocationReason != 0 { // 0 is what a missing reason is read as
			s.reason = reasonName(r.RevocationReason)
		}
	default:
		return s, fmt.Errorf("does not know the certificate of %s", c.Subject)
	}
	return s, nil
}

// isAbout reports whether a response means the certificate with its issuer, and not just its serial number. The
// digests are not in the library's answer:
//
//	ResponseData { [0] version, responderID, producedAt, responses { { certID { hashAlgorithm, issuerNameHash,
//	    issuerKeyHash, serialNumber }, ... } } }
func isAbout(r *ocsp.Response, c, issuer *x509.Certificate) (bool, error) {
	if r.SerialNumber.Cmp(c.SerialNumber) != 0 {
		return false, nil
	}
	der, err := ocsp.CreateRequest(c, issuer, &ocsp.RequestOptions{Hash: r.IssuerHash})
	if err != nil {
		return false, err
	}
	want, err := ocsp.ParseRequest(der)
	if err != nil {
		return false, err
	}
	var data, id, algorithm cryptobyte.String
	var name, key []byte
	body := cryptobyte.String(r.TBSResponseData)
	ok := body.ReadASN1(&data, asn1.SEQUENCE) && data.SkipOptionalASN1(tagContext(0)) && data.ReadAnyASN1(&id, nil) && data.SkipASN1(asn1.GeneralizedTime)
	for range 3 { // the responses, the first, its certID
		ok = ok && data.ReadASN1(&data, asn1.SEQUENCE)
	}
	if !ok || !data.ReadASN1(&algorithm, asn1.SEQUENCE) || !data.ReadASN1Bytes(&name, asn1.OCTET_STRING) || !data.ReadASN1Bytes(&key, asn1.OCTET_STRING) {
		return false, errors.New("is no OCSP response in DER")
	}
	return bytes.Equal(name, want.IssuerNameHash) && bytes.Equal(key, want.IssuerKeyHash), nil
}
