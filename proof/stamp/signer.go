package stamp

import (
	"bytes"
	"crypto"
	"crypto/sha1" // names a certificate in the older of two attributes; nothing is believed because of it
	"crypto/sha256"
	"crypto/x509"
	"math/big"

	// The digests that authorities sign with.
	_ "crypto/sha512"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const (
	oidMD5    = "1.2.840.113549.2.5"
	oidSHA1   = "1.3.14.3.2.26"
	oidSHA256 = "2.16.840.1.101.3.4.2.1"
	oidPSS    = "1.2.840.113549.1.1.10"
	oidMGF1   = "1.2.840.113549.1.1.8"
)

var digests = map[string]crypto.Hash{oidSHA256: crypto.SHA256, "2.16.840.1.101.3.4.2.2": crypto.SHA384, "2.16.840.1.101.3.4.2.3": crypto.SHA512}

// weakNames are the algorithms that are refused by name, of digests and of signatures.
var weakNames = map[string]string{
	oidMD5: "MD5", oidSHA1: "SHA-1",
	"1.2.840.113549.1.1.4": "MD5 with RSA", "1.2.840.113549.1.1.5": "SHA-1 with RSA", "1.2.840.10045.4.1": "ECDSA with SHA-1",
	"1.2.840.10040.4.1": "DSA", "1.2.840.10040.4.3": "DSA with SHA-1",
}

// signatures are the signature algorithms by identifier, each with the digest that it goes with. rsaEncryption and
// RSASSA-PSS go with any: see signatureAlgorithm.
var signatures = map[string]struct {
	digest    crypto.Hash
	algorithm x509.SignatureAlgorithm
}{
	"1.2.840.113549.1.1.11": {crypto.SHA256, x509.SHA256WithRSA},
	"1.2.840.113549.1.1.12": {crypto.SHA384, x509.SHA384WithRSA},
	"1.2.840.113549.1.1.13": {crypto.SHA512, x509.SHA512WithRSA},
	"1.2.840.10045.4.3.2":   {crypto.SHA256, x509.ECDSAWithSHA256},
	"1.2.840.10045.4.3.3":   {crypto.SHA384, x509.ECDSAWithSHA384},
	"1.2.840.10045.4.3.4":   {crypto.SHA512, x509.ECDSAWithSHA512},
	"1.3.101.112":           {crypto.SHA512, x509.PureEd25519}, // RFC 8419, section 3.1
}

var (
	rsaByDigest = map[crypto.Hash]x509.SignatureAlgorithm{crypto.SHA256: x509.SHA256WithRSA, crypto.SHA384: x509.SHA384WithRSA, crypto.SHA512: x509.SHA512WithRSA}
	pssByDigest = map[crypto.Hash]x509.SignatureAlgorithm{crypto.SHA256: x509.SHA256WithRSAPSS, crypto.SHA384: x509.SHA384WithRSAPSS, crypto.SHA512: x509.SHA512WithRSAPSS}
)

// find returns the signer's certificate among those of the token and of the policy.
func (si signerInfo) find(certificates []*x509.Certificate) (*x509.Certificate, error) {
	for _, c := range certificates {
		if si.keyID != nil && bytes.Equal(si.keyID, c.SubjectKeyId) ||
			si.keyID == nil && bytes.Equal(si.issuer, c.RawIssuer) && si.serial.Cmp(c.SerialNumber) == 0 {
			return c, nil
		}
	}
	return nil, refuse(KindCertificate, "the signer's certificate is not in the token; ask the authority for it, or add it to the certificates given")
}

// checkAttributes checks the attributes that RFC 3161 and RFC 5816 ask for against the content and the signer.
func (si signerInfo) checkAttributes(content []byte, signer *x509.Certificate) error {
	digest, err := si.digestHash()
	if err != nil {
		return err
	}
	kind := si.attributes[oidContentType]
	if oid, ok := readOID(&kind); !ok || oid != oidTSTInfo {
		return refuse(KindAttributes, "the signed attributes do not say that this is a time stamp")
	}
	h := digest.New()
	h.Write(content)
	var sum []byte
	stated := si.attributes[oidMessageDigest]
	if !stated.ReadASN1Bytes(&sum, asn1.OCTET_STRING) {
		return refuse(KindAttributes, "the signed attributes have no message digest")
	}
	if !bytes.Equal(sum, h.Sum(nil)) {
		return refuse(KindSignature, "the token's content is not what was signed: its digest is %x, not %x", h.Sum(nil), sum)
	}
	ids, err := si.certificateIDs()
	if err != nil {
		return err
	}
	for _, list := range ids {
		if !list[0].matches(signer) {
			return refuse(KindCertificate, "the signature was made for another certificate than that of %s", signer.Subject)
		}
	}
	return si.checkProtection()
}

// checkProtection compares the algorithms with the copy of them that some authorities sign:
//
//	CMSAlgorithmProtection { digestAlgorithm, [1] signatureAlgorithm }
func (si signerInfo) checkProtection() error {
	value, ok := si.attributes[oidAlgorithmProtection]
	if !ok {
		return nil
	}
	var body, signature cryptobyte.String
	if value.ReadASN1(&body, asn1.SEQUENCE) {
		digest, ok := readAlgorithm(&body)
		own := cryptobyte.String(si.algorithm.raw)
		if ok && bytes.Equal(digest.raw, si.digest.raw) && body.ReadASN1(&signature, tagContext(1)) && body.Empty() &&
			own.ReadASN1(&own, asn1.SEQUENCE) && bytes.Equal(own, signature) {
			return nil
		}
	}
	return refuse(KindAttributes, "the algorithms of the token are not those that the authority signed with")
}

func (si signerInfo) digestHash() (crypto.Hash, error) {
	if name, weak := weakNames[si.digest.oid]; weak {
		return 0, refuse(KindWeak, "the authority signed with %s", name)
	}
	digest, ok := digests[si.digest.oid]
	if !ok || !si.digest.plain() {
		return 0, refuse(KindUnsupported, "digest algorithm %s; SHA-256, SHA-384 and SHA-512 are read", si.digest.oid)
	}
	return digest, nil
}

// certificateID is an ESSCertID or ESSCertIDv2: the digest of a certificate, and maybe its issuer and serial.
type certificateID struct {
	hash   crypto.Hash
	digest []byte
	issuer cryptobyte.String // a GeneralName in DER, empty if absent
	serial *big.Int
}

func (id certificateID) matches(c *x509.Certificate) bool {
	if id.hash == crypto.SHA1 {
		if sum := sha1.Sum(c.Raw); !bytes.Equal(id.digest, sum[:]) {
			return false
		}
	} else {
		h := id.hash.New()
		h.Write(c.Raw)
		if !bytes.Equal(id.digest, h.Sum(nil)) {
			return false
		}
	}
	if id.serial == nil {
		return true
	}
	var name cryptobyte.String
	issuer := id.issuer
	return issuer.ReadASN1(&name, tagContext(4)) && issuer.Empty() && bytes.Equal(name, c.RawIssuer) && id.serial.Cmp(c.SerialNumber) == 0
}

// certificateIDs reads signingCertificate and signingCertificateV2: at least one of them, and in each the signer first.
func (si signerInfo) certificateIDs() ([][]certificateID, error) {
	var lists [][]certificateID
	for _, oid := range []string{oidSigningCertificate, oidSigningCertificateV2} {
		value, ok := si.attributes[oid]
		if !ok {
			continue
		}
		var body, ids, id cryptobyte.String
		if !value.ReadASN1(&body, asn1.SEQUENCE) || !body.ReadASN1(&ids, asn1.SEQUENCE) || ids.Empty() {
			return nil, refuse(KindAttributes, "the attribute that names the signer's certificate is damaged")
		}
		var list []certificateID
		for !ids.Empty() {
			if !ids.ReadASN1(&id, asn1.SEQUENCE) {
				return nil, errSyntax
			}
			one, err := parseCertificateID(id, oid == oidSigningCertificateV2)
			if err != nil {
				return nil, err
			}
			list = append(list, one)
		}
		lists = append(lists, list)
	}
	if len(lists) == 0 {
		return nil, refuse(KindAttributes, "the signed attributes do not name the signer's certificate")
	}
	return lists, nil
}

func parseCertificateID(s cryptobyte.String, v2 bool) (certificateID, error) {
	damaged := refuse(KindAttributes, "the attribute that names the signer's certificate is damaged")
	id := certificateID{hash: crypto.SHA1}
	if v2 {
		id.hash = crypto.SHA256 // the default
		if s.PeekASN1Tag(asn1.SEQUENCE) {
			a, ok := readAlgorithm(&s)
			if name, weak := weakNames[a.oid]; weak {
				return id, refuse(KindWeak, "the authority names its certificate by %s", name)
			}
			if id.hash = digests[a.oid]; !ok || id.hash == 0 || !a.plain() {
				return id, refuse(KindUnsupported, "the authority names its certificate by digest algorithm %s", a.oid)
			}
		}
	}
	if !s.ReadASN1Bytes(&id.digest, asn1.OCTET_STRING) {
		return id, damaged
	}
	if s.Empty() {
		return id, nil
	}
	var both, names cryptobyte.String
	id.serial = new(big.Int)
	if !s.ReadASN1(&both, asn1.SEQUENCE) || !s.Empty() || !both.ReadASN1(&names, asn1.SEQUENCE) || !names.ReadAnyASN1Element(&id.issuer, nil) ||
		!names.Empty() || !both.ReadASN1Integer(id.serial) || !both.Empty() {
		return id, damaged
	}
	return id, nil
}

// checkSignature checks the signature over the attributes.
func (si signerInfo) checkSignature(signer *x509.Certificate) error {
	algorithm, err := si.signatureAlgorithm()
	if err != nil {
		return err
	}
	if err := signer.CheckSignature(algorithm, si.signed, si.signature); err != nil {
		return refuse(KindSignature, "the signature is not one by %s: %v", signer.Subject, err)
	}
	return nil
}

// signatureAlgorithm returns the algorithm that the token says the signature is of.
func (si signerInfo) signatureAlgorithm() (x509.SignatureAlgorithm, error) {
	digest, err := si.digestHash()
	if err != nil {
		return 0, err
	}
	if name, weak := weakNames[si.algorithm.oid]; weak {
		return 0, refuse(KindWeak, "the authority signed with %s", name)
	}
	switch known, ok := signatures[si.algorithm.oid]; {
	case si.algorithm.oid == oidPSS && si.algorithm.pss(si.digest.oid, digest.Size()):
		return pssByDigest[digest], nil
	case si.algorithm.oid == "1.2.840.113549.1.1.1" && si.algorithm.plain(): // rsaEncryption
		return rsaByDigest[digest], nil
	case ok && known.digest == digest && si.algorithm.plain():
		return known.algorithm, nil
	}
	return 0, refuse(KindUnsupported, "signature algorithm %s with digest %s, or its parameters, are not known here", si.algorithm.oid, si.digest.oid)
}

// pss reports whether the parameters of RSASSA-PSS are the ones that crypto/x509 checks: one digest algorithm
// throughout, and a salt of its length.
//
//	[0] hashAlgorithm, [1] maskGenAlgorithm { mgf1, hashAlgorithm }, [2] saltLength
func (a algorithm) pss(digest string, size int) bool {
	var body, field, mask cryptobyte.String
	var salt int
	params := a.params
	if !params.ReadASN1(&body, asn1.SEQUENCE) || !body.ReadASN1(&field, tagContext(0)) {
		return false
	}
	if hash, ok := readAlgorithm(&field); !ok || hash.oid != digest || !hash.plain() || !field.Empty() {
		return false
	}
	if !body.ReadASN1(&field, tagContext(1)) {
		return false
	}
	mgf, ok := readAlgorithm(&field)
	mask = mgf.params
	if !ok || mgf.oid != oidMGF1 || !field.Empty() {
		return false
	}
	if hash, ok := readAlgorithm(&mask); !ok || hash.oid != digest || !hash.plain() {
		return false
	}
	return body.ReadASN1(&field, tagContext(2)) && field.ReadASN1Integer(&salt) && salt == size && field.Empty() && body.Empty()
}

// digestOf is the name of a certificate in this package's answers.
func digestOf(c *x509.Certificate) Digest { return sha256.Sum256(c.Raw) }
