package mark

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Codeword is a vector of signs, +1 or -1: entries 2h and 2h+1 belong to the cosine and the sine of
// harmonic h of the lattice.
type Codeword []int8

// Book holds everything about one lattice under one key: which slot each coefficient takes and the mask
// of every book. It is immutable and may be shared by goroutines.
//
// Codeword number i = mask[book] * hadamard[row], book = i div slots, row = i mod slots. Rows of a book
// are orthogonal over all slots; the masks of different books are independent uniform signs. Hence each
// codeword alone, given the material, is a uniformly random sign vector: the bound of package detect
// rests on that and on nothing else.
type Book struct {
	lattice Lattice
	slots   int
	books   int
	slotOf  []int    // coefficient -> slot, injective
	masks   []uint64 // bit 1 = -1; slots/64 words per book
}

// NewBook draws the books of a lattice from its key. AES-256-CTR with a zero initial counter is the PRF;
// masks and slots come from keys derived for them.
func NewBook(p *Profile, l Lattice, k Key) *Book { return newBook(p, l, k, p.lattices[l].books) }

// newBook draws the first books of a lattice.
func newBook(p *Profile, l Lattice, k Key, books int) *Book {
	lp := &p.lattices[l]
	b := &Book{lattice: l, slots: lp.slots, books: books, slotOf: permutation(k.derive("slots", ""), lp.slots)[:lp.Coefficients()]}
	stream := keystream(k.derive("mask", ""), books*lp.slots/8)
	b.masks = make([]uint64, len(stream)/8)
	for i := range b.masks {
		b.masks[i] = binary.LittleEndian.Uint64(stream[8*i:])
	}
	return b
}

// Slots returns the length of the transform that reads one book: 256 or 1,024.
func (b *Book) Slots() int { return b.slots }

// Books returns how many books there are.
func (b *Book) Books() int { return b.books }

// SlotOf returns the slot of coefficient i.
func (b *Book) SlotOf(i int) int { return b.slotOf[i] }

// Mask returns the sign bits of a book, bit s of word s/64 for slot s, 1 meaning -1. Not to be changed.
func (b *Book) Mask(book int) []uint64 {
	w := b.slots / 64
	return b.masks[book*w : (book+1)*w : (book+1)*w]
}

// Codeword returns codeword number i. It panics if there is none.
func (b *Book) Codeword(i int) Codeword {
	if i < 0 || i >= b.books*b.slots {
		panic(fmt.Sprintf("mark: codeword %d of %d in the %v lattice", i, b.books*b.slots, b.lattice))
	}
	mask, row := b.Mask(i/b.slots), i%b.slots
	w := make(Codeword, len(b.slotOf))
	for c, s := range b.slotOf {
		negative := mask[s/64]>>(s%64)&1 ^ uint64(bits.OnesCount(uint(row&s))&1)
		w[c] = 1 - 2*int8(negative)
	}
	return w
}

// OneCodeword draws codeword number i of a lattice without the rest of its books: the same signs as
// NewBook(p, l, k).Codeword(i), for tests of very many keys.
func OneCodeword(p *Profile, l Lattice, k Key, i int) Codeword {
	lp := &p.lattices[l]
	if i < 0 || i >= lp.books*lp.slots {
		panic(fmt.Sprintf("mark: codeword %d of %d in the %v lattice", i, lp.books*lp.slots, l))
	}
	// books before the one wanted are drawn and thrown away: the stream is one
	return newBook(p, l, k, i/lp.slots+1).Codeword(i)
}

// keystream returns n bytes of AES-256-CTR under k with a zero initial counter.
func keystream(k Key, n int) []byte {
	block, err := aes.NewCipher(k.secret[:])
	if err != nil {
		panic("mark: " + err.Error()) // only for a wrong key size
	}
	out := make([]byte, n)
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(out, out)
	return out
}

// permutation returns a uniformly random order of 0..n-1: Fisher-Yates on 32-bit draws, those that would
// bias a residue being thrown away.
func permutation(k Key, n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	stream, at := keystream(k, 16*n), 0
	for i := n - 1; i > 0; i-- {
		m := uint32(i + 1)
		limit := ^uint32(0) - (^uint32(0)%m+1)%m
		v := binary.LittleEndian.Uint32(stream[at:])
		for at += 4; v > limit; at += 4 {
			v = binary.LittleEndian.Uint32(stream[at:])
		}
		j := int(v % m)
		p[i], p[j] = p[j], p[i]
	}
	return p
}
