package stamp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"slices"
	"time"
)

// The least strength of keys: what ETSI TS 119 312 and NIST SP 800-131A have allowed since 2014.
const (
	minRSABits   = 2048
	minCurveBits = 256
)

// maxRSABits: a larger key is there to keep who checks a signature with it busy.
const maxRSABits = 16384

// checkUsage checks that a certificate is for time stamps and for nothing else: RFC 3161, section 2.3.
func checkUsage(c *x509.Certificate) error {
	critical := slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.String() == "2.5.29.37" && e.Critical })
	const may = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	switch {
	case len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0:
		return refuse(KindUsage, "the certificate of %s is not for time stamps", c.Subject)
	case !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}) || len(c.UnknownExtKeyUsage) > 0:
		return refuse(KindUsage, "the certificate of %s is not for time stamps, or not for them alone", c.Subject)
	case !critical:
		return refuse(KindUsage, "the extended key usage of the certificate of %s is not critical", c.Subject)
	case c.KeyUsage != 0 && c.KeyUsage&^may != 0 || c.IsCA:
		return refuse(KindUsage, "the key of %s is for more than signatures", c.Subject)
	}
	return nil
}

// checkStrength refuses weak keys and, but for roots, which nobody's signature vouches for, weak signatures.
func checkStrength(c *x509.Certificate, root bool) error {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minRSABits {
			return refuse(KindWeak, "the RSA key of %s has %d bits, under %d", c.Subject, n, minRSABits)
		}
	case *ecdsa.PublicKey:
		if n := key.Curve.Params().BitSize; n < minCurveBits {
			return refuse(KindWeak, "the curve of %s has %d bits, under %d", c.Subject, n, minCurveBits)
		}
	case ed25519.PublicKey:
	default:
		return refuse(KindUnsupported, "the key of %s, a %s one, is not known here", c.Subject, c.PublicKeyAlgorithm)
	}
	if root {
		return nil
	}
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1, x509.DSAWithSHA256:
		return refuse(KindWeak, "the certificate of %s was signed with %s", c.Subject, c.SignatureAlgorithm)
	}
	return nil
}

// checkSize refuses keys that nobody should compute with, before somebody does.
func checkSize(c *x509.Certificate) error {
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
		return refuse(KindUnsupported, "the RSA key of %s has %d bits, over %d", c.Subject, key.N.BitLen(), maxRSABits)
	}
	return nil
}

// chain returns the certificates from the signer to a root, each valid at time at, and checks that the token holds
// no others.
func (sd signedData) chain(signer *x509.Certificate, at time.Time, policy Policy) ([]*x509.Certificate, error) {
	if len(policy.Roots) == 0 {
		return nil, refuse(KindUntrusted, "no root certificate was given; get that of the authority from its own site or from a trusted list")
	}
	if at.Before(signer.NotBefore) || at.After(signer.NotAfter) {
		return nil, notValid(signer, at)
	}
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}}
	for _, c := range policy.Roots {
		options.Roots.AddCert(c)
	}
	others := slices.Concat(sd.certificates, policy.Certificates)
	for _, c := range others {
		options.Intermediates.AddCert(c)
	}
	chains, err := signer.Verify(options)
	if err != nil {
		return nil, explain(err, signer, slices.Concat(others, policy.Roots), at, policy)
	}
	if err := sd.strays(chains, policy); err != nil {
		return nil, err
	}
	var first error
	for _, chain := range chains {
		if err = sd.checkChain(chain, policy); err == nil {
			return chain, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func notValid(c *x509.Certificate, at time.Time) error {
	return refuse(KindValidity, "the certificate of %s is valid from %s to %s, and the token of %s", c.Subject,
		c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339), at.Format(time.RFC3339Nano))
}

// explain names the certificate because of which there is no chain. It follows names only, as nothing is believed here.
func explain(err error, signer *x509.Certificate, others []*x509.Certificate, at time.Time, policy Policy) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage {
		return refuse(KindUsage, "a certificate above that of %s is not for time stamps", signer.Subject)
	}
	var critical x509.UnhandledCriticalExtension
	if errors.As(err, &critical) {
		return refuse(KindUnsupported, "a certificate has a critical extension that is not known here")
	}
	c := signer
	for range 10 { // a chain is shorter, a loop longer
		next := slices.IndexFunc(others, func(o *x509.Certificate) bool { return bytes.Equal(o.RawSubject, c.RawIssuer) && !o.Equal(c) })
		if next < 0 {
			break
		}
		c = others[next]
		if at.Before(c.NotBefore) || at.After(c.NotAfter) {
			return notValid(c, at)
		}
		if err := checkStrength(c, isRoot(c, policy)); err != nil {
			return err
		}
	}
	return refuse(KindUntrusted, "no chain from the certificate of %s to a root that is trusted: %v", signer.Subject, err)
}

func isRoot(c *x509.Certificate, policy Policy) bool {
	return slices.ContainsFunc(policy.Roots, c.Equal)
}

// checkChain checks what crypto/x509 does not: strength, pins, and the certificates that the token limits its chain to.
func (sd signedData) checkChain(chain []*x509.Certificate, policy Policy) error {
	for i, c := range chain {
		if err := checkStrength(c, i == len(chain)-1); err != nil {
			return err
		}
	}
	pinned := func(c *x509.Certificate) bool {
		return slices.Contains(policy.Pins, digestOf(c)) || slices.Contains(policy.Pins, Digest(sha256.Sum256(c.RawSubjectPublicKeyInfo)))
	}
	if len(policy.Pins) > 0 && !slices.ContainsFunc(chain, pinned) {
		return refuse(KindPin, "no certificate from %s to its root is a pinned one", chain[0].Subject)
	}
	lists, err := sd.signer.certificateIDs()
	if err != nil {
		return err
	}
	for _, list := range lists {
		for _, id := range list {
			if !slices.ContainsFunc(chain, id.matches) {
				return refuse(KindCertificate, "the authority signed for a chain with another certificate in it")
			}
		}
	}
	return nil
}

// strays refuses tokens with a certificate that is not in a chain, above one, or in the policy. Second certificates of
// a key in a chain are let be: some authorities send one by an older root.
func (sd signedData) strays(chains [][]*x509.Certificate, policy Policy) error {
	known := slices.Concat(append(chains, policy.Roots, policy.Certificates)...)
	for _, chain := range chains {
		for last := chain[len(chain)-1]; last != nil; { // a signer may be trusted for itself, and its token bring its issuers
			if last = sd.issuerOf(last, known); last != nil {
				known = append(known, last)
			}
		}
	}
	for _, c := range sd.certificates {
		same := func(o *x509.Certificate) bool {
			return o.Equal(c) || bytes.Equal(o.RawSubject, c.RawSubject) && bytes.Equal(o.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo) && !bytes.Equal(o.RawIssuer, c.RawIssuer)
		}
		if !slices.ContainsFunc(known, same) {
			return refuse(KindStray, "the token holds a certificate of %s, which is not in its chain", c.Subject)
		}
	}
	return nil
}

// issuerOf returns the certificate in the token that c was signed with, unless one of its name is known.
func (sd signedData) issuerOf(c *x509.Certificate, known []*x509.Certificate) *x509.Certificate {
	if slices.ContainsFunc(known, func(k *x509.Certificate) bool { return bytes.Equal(k.RawSubject, c.RawIssuer) }) {
		return nil
	}
	for _, o := range sd.certificates {
		if bytes.Equal(o.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(o) == nil {
			return o
		}
	}
	return nil
}
