package stamp

import (
	"errors"
	"fmt"
)

// Kind says why a token was refused. The strings are stable.
type Kind string

const (
	KindSyntax      Kind = "syntax"      // no token in DER, or bytes after it
	KindType        Kind = "type"        // signed, but no time stamp
	KindSigners     Kind = "signers"     // not exactly one signer
	KindAttributes  Kind = "attributes"  // attributes that are missing, there twice, unsigned or untrue
	KindCertificate Kind = "certificate" // the signer's certificate is missing or not the one that was signed for
	KindUsage       Kind = "usage"       // the certificate is not for time stamps, or not for them alone
	KindWeak        Kind = "weak"        // MD5, SHA-1, RSA under 2048 bits, curves under 256
	KindUnsupported Kind = "unsupported" // an algorithm or a critical extension that is not known here
	KindSignature   Kind = "signature"   // the signature is not of these bytes
	KindImprint     Kind = "imprint"     // a time stamp of something else
	KindNonce       Kind = "nonce"       // an answer to another request
	KindPolicy      Kind = "policy"      // the authority worked under a policy that was not asked for
	KindUntrusted   Kind = "untrusted"   // no chain to a root
	KindValidity    Kind = "validity"    // a certificate was not valid at the time of the token
	KindPin         Kind = "pin"         // none of the chain's certificates is a pinned one
	KindStray       Kind = "stray"       // certificates or lists that have nothing to do with the chain
	KindFuture      Kind = "future"      // from after Policy.Now
	KindRevoked     Kind = "revoked"     // a certificate had been revoked by the time of the token
	KindCompromised Kind = "compromised" // revoked later, in a way that leaves older tokens in doubt
	KindStatus      Kind = "status"      // revocation data that is missing, damaged or silent about the time
)

// Error is a refusal.
type Error struct {
	Kind   Kind
	Detail string // for people
}

func (e *Error) Error() string { return "stamp: " + e.Detail }

// KindOf returns the kind of a refusal, and "" if err is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func refuse(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}
