package tlogproof_test

import (
	"fmt"
	"time"

	"github.com/filigrane/filigrane/proof/tlogproof"
)

// What a stranger has: the log's and a witness's public key, the entry, and the proof.
func ExampleInclusion_Verify() {
	policy, err := tlogproof.NewPolicy("bank.example/log",
		[]string{"bank.example/log+407929e9+AZsfhHkc/HZjBFhU04netcqVRJ2HXydqg4QLBgqznPxx"},
		[]string{"witness0.example+b3d721fe+BGwIpQe4VtZmQ+7JK2/jbi+yTY/eUF2WGR8wML+qGfib"}, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	proof, err := tlogproof.ParseInclusion([]byte(`{"checkpoint":"bank.example/log\n3\nlPvQ3YNvUDAWkubQ6t5yjuGexSv/8WBu2AfIV11aqhk=\n\n` +
		`— bank.example/log QHkp6dDcUtN+cfsWEwiFaBl3eTIDVGrBjX6DkZtPy/aOWhVLuiHHW0jW4+TyQTx1pcJcNEjNtZBIHPjZNPDJy9TGuA8=\n` +
		`— witness0.example s9ch/gAAAABqsTuAx+YFYU/RZfNkLfcdcA2gGbit2Z4aNm1Fx97U+yIS6bllFDc9tUSTt390+ZvmERmllJWZE8tYPdrxD4AorcTyBQ==\n",` +
		`"hashes":["dziFphNIniTOLPdhmdakI/BC5LvxLX7s7pEu8nbGVwE=","V8efTzGuApxdS9MLBzwnyU35NDiytGl+Hh7vW8A5SkE="],"index":1,"size":3}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	checkpoint, err := proof.Verify(policy, []byte("entry 1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(checkpoint)
	for _, c := range checkpoint.Cosignatures {
		fmt.Println(c.Witness, time.Unix(c.Time, 0).UTC())
	}
	_, err = proof.Verify(policy, []byte("entry 2"))
	fmt.Println(err)
	// Output:
	// checkpoint of bank.example/log at 3 entries, root lPvQ3YNvUDAWkubQ6t5yjuGexSv/8WBu2AfIV11aqhk=
	// witness0.example 2026-09-21 14:13:20 +0000 UTC
	// tlogproof: the proof does not hold: the entry is not at index 1 of the checkpoint of bank.example/log at 3 entries, root lPvQ3YNvUDAWkubQ6t5yjuGexSv/8WBu2AfIV11aqhk=: it was changed, or the proof belongs to another
}
