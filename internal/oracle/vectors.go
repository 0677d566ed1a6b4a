package oracle

import "encoding/hex"

// Hex is a byte string that stands in a file as lower-case hexadecimal.
type Hex []byte

// UnmarshalText parses hexadecimal; it makes Hex readable by encoding/json.
func (h *Hex) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*h = b
	return err
}

// DFT is a two-dimensional discrete Fourier transform of an N x N plane (dft.json):
//
//	F(u,v) = sum over y,x of Input[y][x] exp(-2πi (u y + v x)/N), unscaled.
//
// Re[k] and Im[k] hold row u = Rows[k] of F, columns v = 0 to N/2, rounded to 6 decimals; values reach
// about 10⁴. All rows are there for N = 64, some for N = 128.
type DFT struct {
	N     int         `json:"n"`
	Input [][]int     `json:"input"`
	Rows  []int       `json:"rows"`
	Re    [][]float64 `json:"re"`
	Im    [][]float64 `json:"im"`
}

// WHT is a Walsh-Hadamard transform of length N in natural (Sylvester) order, unscaled: Output = H Input
// (wht.json).
type WHT struct {
	N      int   `json:"n"`
	Input  []int `json:"input"`
	Output []int `json:"output"`
}

// Quality is a pair of pictures with their PSNR over all samples, in dB, rounded to 10 decimals, and
// the SSIM of their integer luma, (299 R + 587 G + 114 B + 500) div 1000, rounded to 12 (quality.json).
// A and B hold Height rows of Width pixels of Channels samples (1 or 3) of Bits bits (8, or 16
// big-endian), base64 in the file.
type Quality struct {
	Name     string  `json:"name"`
	Width    int     `json:"width"`
	Height   int     `json:"height"`
	Channels int     `json:"channels"`
	Bits     int     `json:"bits"`
	PSNRdB   float64 `json:"psnr_db"`
	SSIM     float64 `json:"ssim"`
	A        []byte  `json:"a"`
	B        []byte  `json:"b"`
}

// YCbCr is a colour in 8-bit RGB and in unrounded full-range YCbCr of JFIF (ITU-T T.871), with Cb and Cr
// centred on 0, -127.5 to 127.5; at 12 decimals (ycbcr.json).
type YCbCr struct {
	RGB   [3]int     `json:"rgb"`
	YCbCr [3]float64 `json:"ycbcr"`
}

// HKDF is a key derivation with HKDF-SHA-256, RFC 5869: PRK = Extract(Salt, IKM), OKM = Expand(PRK, Info,
// Length bytes). An empty Salt means none (hkdf.json).
type HKDF struct {
	Name   string `json:"name"`
	Salt   Hex    `json:"salt"`
	IKM    Hex    `json:"ikm"`
	Info   Hex    `json:"info"`
	Length int    `json:"length"`
	PRK    Hex    `json:"prk"`
	OKM    Hex    `json:"okm"`
}

// AESCTR is a keystream of AES-256 in counter mode, the counter being the whole IV, big-endian: what zero
// bytes encrypt to. The IV is zero in all but NIST's own (aesctr.json).
type AESCTR struct {
	Name      string `json:"name"`
	Key       Hex    `json:"key"`
	IV        Hex    `json:"iv"`
	Keystream Hex    `json:"keystream"`
}

// SHA256 is a message and its digest (sha256.json).
type SHA256 struct {
	Input  Hex `json:"input"`
	Digest Hex `json:"digest"`
}
