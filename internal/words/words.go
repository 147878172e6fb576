// Package words helps messages about names that a user has written: what was meant, and
// how to show it. It is for error texts only.
package words

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxSuggestRunes is the length from which a word is no typing slip of anything;
// it bounds the work on hostile input.
const maxSuggestRunes = 200

// DidYouMean returns `did you mean "x"?` with the option closest to word, or ""
// when none is close: at most a third of the letters (at least one, at most
// three) differ. Case does not count. Of equally close options the first in
// alphabetical order wins.
func DidYouMean(word string, options []string) string {
	w := []rune(strings.ToLower(word))
	if len(w) > maxSuggestRunes {
		return ""
	}
	limit := min(max(len(w)/3, 1), 3)
	best, at := "", limit+1
	for _, o := range options {
		n := utf8.RuneCountInString(o)
		if n-len(w) > limit || len(w)-n > limit {
			continue
		}
		d := editDistance(w, []rune(strings.ToLower(o)))
		if d < at || d == at && d <= limit && o < best {
			best, at = o, d
		}
	}
	if at > limit {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// Suggest is didYouMean for short lists: without a close option it names all.
func Suggest(word string, options []string) string {
	if s := DidYouMean(word, options); s != "" {
		return s
	}
	sorted := slices.Clone(options)
	slices.Sort(sorted)
	return "want one of " + strings.Join(sorted, ", ")
}

// editDistance is the number of letters to insert, delete, replace or swap with
// their neighbour to get from a to b (optimal string alignment).
func editDistance(a, b []rune) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}

// MaxQuoted is how much of a user's text an error message repeats, in letters.
const MaxQuoted = 60

// Quote returns s in quotes, cut where it is long.
func Quote(s string) string {
	if r := []rune(s); len(r) > MaxQuoted {
		return fmt.Sprintf("%q…", string(r[:MaxQuoted]))
	}
	return fmt.Sprintf("%q", s)
}
