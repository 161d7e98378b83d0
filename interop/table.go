package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is what a person reads at the end: a row for each operation, a column for each server.
type table struct{ rows [][]string }

func newTable(first string, servers []*server) *table {
	head := []string{first}
	for _, server := range servers {
		head = append(head, server.name)
	}
	return &table{rows: [][]string{head}}
}

func (t *table) add(name string, cells []string) {
	t.rows = append(t.rows, append([]string{name}, cells...))
}

// gap sets the rows that follow apart.
func (t *table) gap() { t.rows = append(t.rows, nil) }

func (t *table) print(out io.Writer) {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for column, cell := range row {
			widths[column] = max(widths[column], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t.rows {
		var text strings.Builder
		for column, cell := range row {
			text.WriteString(cell)
			text.WriteString(strings.Repeat(" ", widths[column]-utf8.RuneCountInString(cell)+2))
		}
		fmt.Fprintln(out, strings.TrimRight(text.String(), " "))
	}
}
