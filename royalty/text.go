package royalty

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// cents writes an amount with two decimals and a comma every three digits: 1192367 is "11,923.67".
func cents(n int64) string {
	sign := ""
	digits := strconv.FormatInt(n, 10)
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for len(digits) < 3 {
		digits = "0" + digits
	}
	return sign + thousands(digits[:len(digits)-2]) + "." + digits[len(digits)-2:]
}

func thousands(digits string) string {
	var s strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			s.WriteByte(',')
		}
		s.WriteRune(d)
	}
	return s.String()
}

// ratText writes a rational exactly where at most six decimals are enough, else rounded and marked "~".
func ratText(r *big.Rat) string {
	whole := r.FloatString(6)
	text := strings.TrimSuffix(strings.TrimRight(whole, "0"), ".")
	if exact, ok := new(big.Rat).SetString(whole); !ok || exact.Cmp(r) != 0 {
		text = "~" + whole
	}
	i := strings.IndexByte(text+".", '.')
	if strings.HasPrefix(text, "~") || strings.HasPrefix(text, "-") {
		return text[:1] + thousands(text[1:i]) + text[i:]
	}
	return thousands(text[:i]) + text[i:]
}

// exactText writes "amount x part / whole = result", and the exact result where cents had to be rounded.
func exactText(amount int64, part, whole *big.Rat, result int64) string {
	if whole.Sign() == 0 {
		return "nothing credited"
	}
	exact := new(big.Rat).Quo(part, whole)
	exact.Mul(exact, big.NewRat(amount, 100))
	text := fmt.Sprintf("%s x %s / %s = %s", cents(amount), ratText(part), ratText(whole), cents(result))
	if exact.Cmp(big.NewRat(result, 100)) != 0 {
		text += fmt.Sprintf(" (before rounding %s)", ratText(exact))
	}
	return text
}
