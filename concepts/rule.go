package concepts

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// By says what a [Rule] looks at.
type By string

// What rules look at.
const (
	ByFolder  By = "folder"  // the folder that holds the file
	ByColumn  By = "column"  // a column of the bank's table, or title, creator, rights_holder
	ByKeyword By = "keyword" // the keywords, one concept each
	ByCreator By = "creator" // the creator
	ByVisual  By = "visual"  // the colours and textures: K groups found by k-means
)

// Rule makes concepts from works. [ParseRule] describes the text form.
type Rule struct {
	Kind Kind
	By   By
	// Column is the column's name, for ByColumn.
	Column string
	// Keywords are the only keywords to use, for ByKeyword; none means all. Tidied and sorted.
	Keywords []string
	// K is the number of groups, for ByVisual: 2 to 1024.
	K int
}

// maxVisualGroups bounds K: beyond, groups of colours and textures mean nothing to anybody.
const maxVisualGroups = 1024

// ParseRule reads a rule:
//
//	folder            the folder that directly holds the file        semantic
//	column:NAME       the value in a column of the bank's table      semantic; owner for creator, rights_holder
//	keyword           every keyword                                  semantic
//	keyword:a,b,c     only these keywords                            semantic
//	creator           the creator                                    owner
//	visual:K          K groups by colour and texture, 2 <= K <= 1024 style
//
// "semantic=", "style=" or "owner=" in front overrides the kind: "style=column:look". Rule.String is the
// inverse. It returns an error that shows the text and what was expected.
func ParseRule(text string) (Rule, error) {
	if !utf8.ValidString(text) {
		return Rule{}, fmt.Errorf("concepts: rule %q is not UTF-8", text)
	}
	rest, kind := tidy(text), Kind("")
	if before, after, ok := strings.Cut(rest, "="); ok && !strings.Contains(before, ":") {
		kind, rest = Kind(tidy(before)), tidy(after)
		if err := kind.Check(); err != nil {
			return Rule{}, fmt.Errorf("concepts: rule %q: %w", text, err)
		}
	}
	word, argument, given := strings.Cut(rest, ":")
	r := Rule{By: By(tidy(word))}
	argument = tidy(argument)
	if err := r.parseArgument(argument, given); err != nil {
		return Rule{}, fmt.Errorf("concepts: rule %q: %w", text, err)
	}
	r.Kind = r.defaultKind()
	if kind != "" {
		r.Kind = kind
	}
	return r, nil
}

func (r *Rule) parseArgument(argument string, given bool) error {
	if given && argument == "" {
		return fmt.Errorf("nothing after the colon")
	}
	switch r.By {
	case ByFolder, ByCreator:
		if given {
			return fmt.Errorf("%q takes no argument", r.By)
		}
	case ByColumn:
		r.Column = argument
		switch {
		case !given:
			return fmt.Errorf("say which column: column:NAME")
		case identity(argument) == "keywords":
			return fmt.Errorf("use the rule keyword for the keywords column")
		}
	case ByKeyword:
		if given {
			return r.parseKeywords(argument)
		}
	case ByVisual:
		k, err := strconv.Atoi(argument)
		if err != nil || k < 2 || k > maxVisualGroups || strconv.Itoa(k) != argument {
			return fmt.Errorf("say how many groups, 2 to %d: visual:8", maxVisualGroups)
		}
		r.K = k
	default:
		return fmt.Errorf("unknown rule %q: use folder, column:NAME, keyword, keyword:a,b, creator or visual:K", string(r.By))
	}
	return nil
}

func (r *Rule) parseKeywords(list string) error {
	seen := map[string]bool{}
	for part := range strings.SplitSeq(list, ",") {
		word := tidy(part)
		if word == "" || seen[identity(word)] {
			return fmt.Errorf("keyword %q is empty or listed twice", word)
		}
		seen[identity(word)] = true
		r.Keywords = append(r.Keywords, word)
	}
	sort.Strings(r.Keywords)
	return nil
}

// ParseRules reads several rules. A rule may be given once. Errors as [ParseRule].
func ParseRules(texts []string) ([]Rule, error) {
	rules := make([]Rule, 0, len(texts))
	for _, text := range texts {
		r, err := ParseRule(text)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, checkRules(rules)
}

func checkRules(rules []Rule) error {
	if len(rules) == 0 {
		return fmt.Errorf("concepts: no rule given: use at least one, for example folder")
	}
	seen := map[string]bool{}
	for _, r := range rules {
		text := r.String()
		if parsed, err := ParseRule(text); err != nil || parsed.String() != text {
			panic(fmt.Sprintf("concepts: rule %+v was not made by ParseRule", r))
		}
		if seen[text] {
			return fmt.Errorf("concepts: rule %q is given twice", text)
		}
		seen[text] = true
	}
	return nil
}

func (r Rule) defaultKind() Kind {
	switch {
	case r.By == ByCreator:
		return Owner
	case r.By == ByVisual:
		return Style
	case r.By == ByColumn && (identity(r.Column) == "creator" || identity(r.Column) == "rights_holder"):
		return Owner
	}
	return Semantic
}

// String returns the text form; the kind is written only if it is not the rule's default.
func (r Rule) String() string {
	s := string(r.By)
	switch {
	case r.By == ByColumn:
		s += ":" + r.Column
	case r.By == ByKeyword && len(r.Keywords) > 0:
		s += ":" + strings.Join(r.Keywords, ",")
	case r.By == ByVisual:
		s += ":" + strconv.Itoa(r.K)
	}
	if r.Kind != r.defaultKind() {
		s = string(r.Kind) + "=" + s
	}
	return s
}
