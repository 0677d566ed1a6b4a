package adversary

import "fmt"

// mostOver is how many times the attacker marks over.
const mostOver = 3

// overmarking marks delivered files once more, up to three times, each time with another key, at the strength
// they were delivered at. It reads with our key and with the last other one.
func (l *lab) overmarking() ([]Row, error) {
	var others []*delivery
	for k := range mostOver {
		others = append(others, newDelivery(l.Seed, fmt.Sprintf("marked over, %d", k+1)))
	}
	ours := make([][]outcome, mostOver)
	theirs := make([][]outcome, mostOver)
	for k := range mostOver {
		ours[k], theirs[k] = make([]outcome, len(l.victims)), make([]outcome, len(l.victims))
	}
	err := l.each(len(l.victims), func(i int) error {
		host, marked, err := l.victim(i, l.Side)
		if err != nil {
			return err
		}
		over := marked
		for k, d := range others {
			if over, err = d.mark(over, attackerWork(i)); err != nil {
				return fmt.Errorf("%s: %w", l.victims[i].Name, err)
			}
			if ours[k][i], err = l.ours.read(l.Side, exhibit{over, host, marked, []int{victimWork(i)}}); err != nil {
				return err
			}
			if theirs[k][i], err = d.read(l.Side, exhibit{over, host, marked, []int{attackerWork(i)}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var rows []Row
	for k := range mostOver {
		rows = append(rows, row("overmark", "read with our key", k+1, ours[k]), row("overmark", "read with the last key", k+1, theirs[k]))
	}
	return rows, nil
}
