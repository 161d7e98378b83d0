package main

import (
	"fmt"
	"slices"
)

// check is a script of Atlantis' operations that runs on every server, and what the answers have to be.
type check struct {
	name string
	run  func(*server, *transcript)
	// better is nil where the port must answer as Redis does.
	better *better
	// possible is nil where every machine will do.
	possible func() bool
}

// better is a difference that is meant: the answers to the letter, and in a word for the table.
type better struct {
	redis, port         []string
	redisWord, portWord string
}

// compareAll runs every check on every server and adds their rows.
func compareAll(servers []*server, table *table, _ options) ([]string, error) {
	var unexpected []string
	for index, check := range append(sameChecks, betterChecks...) {
		if index == len(sameChecks) {
			table.gap()
		}
		if check.possible != nil && !check.possible() {
			table.add(check.name, slices.Repeat([]string{"not tried here"}, len(servers)))
			continue
		}
		var answers [][]string
		for _, server := range servers {
			if err := server.clear(); err != nil {
				return nil, err
			}
			var said transcript
			check.run(server, &said)
			answers = append(answers, said.lines)
		}
		var cells []string
		for index, server := range servers {
			word, found := check.judge(answers, index)
			cells = append(cells, word)
			if found != "" {
				unexpected = append(unexpected, fmt.Sprintf("%s, on %s: %s", check.name, server.name, found))
			}
		}
		table.add(check.name, cells)
	}
	return unexpected, nil
}

// judge says in a word what the answers of one server are, and describes what they should not be.
func (c check) judge(answers [][]string, index int) (string, string) {
	wanted, word := answers[0], "same answers"
	switch {
	case c.better != nil && index == 0:
		wanted, word = c.better.redis, c.better.redisWord
	case c.better != nil:
		wanted, word = c.better.port, c.better.portWord
	case index == 0:
		word = fmt.Sprintf("%d answers", len(wanted))
	}
	if found := difference(wanted, answers[index]); found != "" {
		return "DIFFERS", found
	}
	return word, ""
}
