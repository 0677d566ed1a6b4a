package stamp

import (
	"bytes"
	"crypto/x509"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Object identifiers, in the order of the token.
const (
	oidSignedData           = "1.2.840.113549.1.7.2"
	oidTSTInfo              = "1.2.840.113549.1.9.16.1.4"
	oidContentType          = "1.2.840.113549.1.9.3"
	oidMessageDigest        = "1.2.840.113549.1.9.4"
	oidSigningCertificate   = "1.2.840.113549.1.9.16.2.12"
	oidSigningCertificateV2 = "1.2.840.113549.1.9.16.2.47"
	oidAlgorithmProtection  = "1.2.840.113549.1.9.52" // RFC 6211
)

// signedData is a token taken apart:
//
//	ContentInfo { signedData, [0] SignedData {
//	    version 3, digestAlgorithms, encapContentInfo { id-ct-TSTInfo, [0] OCTET STRING },
//	    [0] certificates, [1] crls, signerInfos } }
type signedData struct {
	content      []byte // TSTInfo in DER
	certificates []*x509.Certificate
	lists        [][]byte // revocation lists in DER
	signer       signerInfo
}

// algorithm is an AlgorithmIdentifier.
type algorithm struct {
	oid    string
	params cryptobyte.String // with tag and length; empty if absent
	raw    []byte
}

// tagContext is a constructed [n].
func tagContext(n uint8) asn1.Tag { return asn1.Tag(n).ContextSpecific().Constructed() }

var errSyntax = refuse(KindSyntax, "this is no time stamp token in DER")

// parseToken takes a token apart and checks all that needs neither certificates nor the content.
func parseToken(token []byte) (signedData, error) {
	if len(token) > MaxToken {
		return signedData{}, refuse(KindSyntax, "a token of %d bytes, over %d", len(token), MaxToken)
	}
	if err := checkDER(token, 0); err != nil {
		return signedData{}, err
	}
	var info, wrapped, body cryptobyte.String
	input := cryptobyte.String(token)
	if !input.ReadASN1(&info, asn1.SEQUENCE) {
		return signedData{}, errSyntax
	}
	if !input.Empty() {
		return signedData{}, refuse(KindSyntax, "%d bytes after the token", len(input))
	}
	kind, ok := readOID(&info)
	if !ok {
		return signedData{}, errSyntax
	}
	if kind != oidSignedData {
		return signedData{}, refuse(KindType, "content of type %s is not signed data; of a response by an authority only the token is kept", kind)
	}
	if !info.ReadASN1(&wrapped, tagContext(0)) || !info.Empty() || !wrapped.ReadASN1(&body, asn1.SEQUENCE) || !wrapped.Empty() {
		return signedData{}, errSyntax
	}
	return parseSignedData(body)
}

func parseSignedData(body cryptobyte.String) (signedData, error) {
	var sd signedData
	var version int
	var digests, encap, explicit, signers cryptobyte.String
	if !body.ReadASN1Integer(&version) || version != 3 || !body.ReadASN1(&digests, asn1.SET) {
		return sd, refuse(KindSyntax, "signed data is not of version 3, which time stamps are")
	}
	digest, ok := readAlgorithm(&digests)
	if !ok || !digests.Empty() {
		return sd, refuse(KindSigners, "not exactly one digest algorithm, as one signer needs")
	}
	if !body.ReadASN1(&encap, asn1.SEQUENCE) {
		return sd, errSyntax
	}
	kind, ok := readOID(&encap)
	if !ok {
		return sd, errSyntax
	}
	if kind != oidTSTInfo {
		return sd, refuse(KindType, "signed content of type %s is no time stamp", kind)
	}
	if !encap.ReadASN1(&explicit, tagContext(0)) || !encap.Empty() || !explicit.ReadASN1Bytes(&sd.content, asn1.OCTET_STRING) || !explicit.Empty() {
		return sd, refuse(KindSyntax, "the time stamp's content is missing or not in one piece")
	}
	if err := sd.readSets(&body); err != nil {
		return sd, err
	}
	if !body.ReadASN1(&signers, asn1.SET) || !body.Empty() {
		return sd, errSyntax
	}
	var one cryptobyte.String
	if !signers.ReadASN1(&one, asn1.SEQUENCE) || !signers.Empty() {
		return sd, refuse(KindSigners, "not exactly one signer")
	}
	var err error
	if sd.signer, err = parseSigner(one); err != nil {
		return sd, err
	}
	if !bytes.Equal(digest.raw, sd.signer.digest.raw) {
		return sd, refuse(KindSigners, "the digest algorithm of the token, %s, is not the signer's, %s", digest.oid, sd.signer.digest.oid)
	}
	return sd, nil
}

// readSets reads the sets of certificates and of revocation lists, which are optional.
func (sd *signedData) readSets(body *cryptobyte.String) error {
	var set, one cryptobyte.String
	var present bool
	if !body.ReadOptionalASN1(&set, &present, tagContext(0)) || present && set.Empty() {
		return errSyntax
	}
	for !set.Empty() {
		if !set.ReadASN1Element(&one, asn1.SEQUENCE) {
			return refuse(KindUnsupported, "the token holds a certificate that is not an X.509 one")
		}
		c, err := x509.ParseCertificate(one)
		if err != nil {
			return refuse(KindSyntax, "certificate %d of the token: %v", len(sd.certificates)+1, err)
		}
		if err := checkSize(c); err != nil {
			return err
		}
		sd.certificates = append(sd.certificates, c)
	}
	if !body.ReadOptionalASN1(&set, &present, tagContext(1)) || present && set.Empty() {
		return errSyntax
	}
	for !set.Empty() {
		if !set.ReadASN1Element(&one, asn1.SEQUENCE) {
			return refuse(KindUnsupported, "the token holds revocation data that is not an X.509 list; keep it outside")
		}
		sd.lists = append(sd.lists, one)
	}
	return nil
}

// signerInfo is a SignerInfo:
//
//	version, sid, digestAlgorithm, [0] signedAttrs, signatureAlgorithm, signature
type signerInfo struct {
	issuer     []byte // Name in DER, with serial; or keyID
	serial     *big.Int
	keyID      []byte
	digest     algorithm
	attributes map[string]cryptobyte.String // by type, the one value of each with tag and length
	signed     []byte                       // the bytes that are signed: SET OF Attribute
	algorithm  algorithm
	signature  []byte
}

func parseSigner(s cryptobyte.String) (signerInfo, error) {
	var si signerInfo
	var version int
	var sid, name, attributes cryptobyte.String
	if !s.ReadASN1Integer(&version) {
		return si, errSyntax
	}
	switch {
	case version == 1 && s.ReadASN1(&sid, asn1.SEQUENCE):
		si.serial = new(big.Int)
		if !sid.ReadASN1Element(&name, asn1.SEQUENCE) || !sid.ReadASN1Integer(si.serial) || !sid.Empty() {
			return si, errSyntax
		}
		si.issuer = name
	case version == 3 && s.ReadASN1(&sid, asn1.Tag(0).ContextSpecific()):
		si.keyID = sid
	default:
		return si, refuse(KindSyntax, "the signer is not named as version %d of its block would", version)
	}
	var ok bool
	if si.digest, ok = readAlgorithm(&s); !ok {
		return si, errSyntax
	}
	var element cryptobyte.String
	if !s.PeekASN1Tag(tagContext(0)) {
		return si, refuse(KindAttributes, "no signed attributes")
	}
	if !s.ReadASN1Element(&element, tagContext(0)) {
		return si, errSyntax
	}
	// The signature covers the attributes as a SET, not as the [0] that they are in.
	si.signed = bytes.Clone(element)
	si.signed[0] = byte(asn1.SET)
	if !element.ReadASN1(&attributes, tagContext(0)) {
		return si, errSyntax
	}
	var err error
	if si.attributes, err = parseAttributes(attributes); err != nil {
		return si, err
	}
	if si.algorithm, ok = readAlgorithm(&s); !ok || !s.ReadASN1Bytes(&si.signature, asn1.OCTET_STRING) {
		return si, errSyntax
	}
	if s.PeekASN1Tag(tagContext(1)) {
		return si, refuse(KindAttributes, "unsigned attributes, which anybody can have added")
	}
	if !s.Empty() {
		return si, errSyntax
	}
	return si, nil
}

// parseAttributes reads the attributes, each of which must be there once and have one value. They are in the order
// of their bytes, as DER has sets.
func parseAttributes(s cryptobyte.String) (map[string]cryptobyte.String, error) {
	all := map[string]cryptobyte.String{}
	var last []byte
	for !s.Empty() {
		var element, attribute, values, value cryptobyte.String
		if !s.ReadASN1Element(&element, asn1.SEQUENCE) {
			return nil, errSyntax
		}
		if bytes.Compare(last, element) > 0 {
			return nil, refuse(KindSyntax, "the signed attributes are not in the order of DER")
		}
		last = element
		if !element.ReadASN1(&attribute, asn1.SEQUENCE) {
			return nil, errSyntax
		}
		kind, ok := readOID(&attribute)
		if !ok || !attribute.ReadASN1(&values, asn1.SET) || !attribute.Empty() {
			return nil, errSyntax
		}
		if _, twice := all[kind]; twice {
			return nil, refuse(KindAttributes, "attribute %s is there twice", kind)
		}
		if !values.ReadAnyASN1Element(&value, nil) || !values.Empty() {
			return nil, refuse(KindAttributes, "attribute %s has not exactly one value", kind)
		}
		all[kind] = value
	}
	return all, nil
}

// readOID reads an object identifier, of any size.
func readOID(s *cryptobyte.String) (string, bool) {
	var content cryptobyte.String
	var oid x509.OID
	if !s.ReadASN1(&content, asn1.OBJECT_IDENTIFIER) || oid.UnmarshalBinary(content) != nil {
		return "", false
	}
	return oid.String(), true
}

func readAlgorithm(s *cryptobyte.String) (algorithm, bool) {
	var a algorithm
	var element, body cryptobyte.String
	if !s.ReadASN1Element(&element, asn1.SEQUENCE) {
		return a, false
	}
	a.raw = element
	if !element.ReadASN1(&body, asn1.SEQUENCE) {
		return a, false
	}
	var ok bool
	if a.oid, ok = readOID(&body); !ok {
		return a, false
	}
	if !body.Empty() && (!body.ReadAnyASN1Element(&a.params, nil) || !body.Empty()) {
		return a, false
	}
	return a, true
}

// plain reports whether the algorithm has no parameters, or NULL.
func (a algorithm) plain() bool { return len(a.params) == 0 || bytes.Equal(a.params, []byte{5, 0}) }

// maxDepth is how deep elements may lie in one another. A certificate's names lie some 12 deep in a token.
const maxDepth = 32

// checkDER refuses lengths that are indefinite or longer than need be, and elements nested without end. cryptobyte
// reads only DER, but not every part of a token is read here to its end.
func checkDER(der cryptobyte.String, depth int) error {
	if depth > maxDepth {
		return refuse(KindSyntax, "elements lie over %d deep in one another", maxDepth)
	}
	for !der.Empty() {
		var content cryptobyte.String
		var tag asn1.Tag
		if !der.ReadAnyASN1(&content, &tag) {
			return errSyntax
		}
		if tag&0x20 == 0 { // primitive
			continue
		}
		if err := checkDER(content, depth+1); err != nil {
			return err
		}
	}
	return nil
}
