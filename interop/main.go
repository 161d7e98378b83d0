// Command interop runs Atlantis' own locking code against the Atlantis port of Enhanced Locking and against a real
// Redis server, and compares the answers.
//
// It imports the packages of Atlantis as anybody may import a Go module: what is tried here is the code that Atlantis
// runs, and no imitation of it. `cargo xtask interop` starts the servers and then this program:
//
//	interop -redis 127.0.0.1:6379 -port embedded=127.0.0.1:6380 -port memory=127.0.0.1:6381
//
// Every check runs on each of them. An answer of the port must be that of Redis, or else the better one that
// docs/02-compatibility.md promises; better.go and race.go name those. Anything else is printed, and the exit code is 1; it
// is 2 if the comparison broke down.
//
// The program deletes every key it finds, so it starts only on servers that are empty.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	redis    string
	ports    addresses
	clusters addresses
	rounds   int
	locks    int
	measure  time.Duration
}

// addresses are values of a flag that may be repeated: NAME=HOST:PORT.
type addresses [][2]string

func (a *addresses) String() string { return fmt.Sprint([][2]string(*a)) }

func (a *addresses) Set(value string) error {
	name, address, found := strings.Cut(value, "=")
	if !found || name == "" || address == "" {
		return fmt.Errorf("write it as NAME=HOST:PORT")
	}
	*a = append(*a, [2]string{name, address})
	return nil
}

func main() {
	var given options
	flag.StringVar(&given.redis, "redis", "", "an empty Redis server, `HOST:PORT`")
	flag.Var(&given.ports, "port", "an empty Atlantis port, `NAME=HOST:PORT`; may be repeated")
	flag.Var(&given.clusters, "cluster", "the same, as Atlantis speaks to a Redis Cluster; may be repeated")
	flag.IntVar(&given.rounds, "rounds", 2000, "how often two clients race for the same thing")
	flag.IntVar(&given.locks, "locks", 5000, "how many locks List is measured with; 0 measures nothing at all")
	flag.DurationVar(&given.measure, "measure", 2*time.Second, "how long pairs of TryLock and Unlock are counted")
	flag.Parse()
	if given.redis == "" || len(given.ports)+len(given.clusters) == 0 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "give -redis and at least one -port or -cluster:")
		flag.PrintDefaults()
		os.Exit(2)
	}
	unexpected, err := run(given)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
	for _, difference := range unexpected {
		fmt.Println("\nunexpected:", difference)
	}
	if len(unexpected) > 0 {
		os.Exit(1)
	}
}

// chapters are the parts of the table; each adds its rows and returns the differences that nobody promised.
var chapters = []func([]*server, *table, options) ([]string, error){compareAll, raceAll, measureAll}

// run does everything and prints the table; it returns the differences that nobody promised.
func run(given options) ([]string, error) {
	servers, err := openAll(given)
	for _, server := range servers {
		defer server.close()
	}
	if err != nil {
		return nil, err
	}
	table := newTable("Atlantis' operation", servers)
	var unexpected []string
	for _, chapter := range chapters {
		found, err := chapter(servers, table, given)
		if err != nil {
			return nil, err
		}
		unexpected = append(unexpected, found...)
	}
	table.print(os.Stdout)
	return unexpected, nil
}

// openAll connects to Redis, the first of the result, and to the ports.
func openAll(given options) ([]*server, error) {
	var servers []*server
	add := func(name, address string, cluster bool) error {
		server, err := openServer(name, address, cluster)
		if err == nil {
			servers = append(servers, server)
		}
		return err
	}
	if err := add("Redis", given.redis, false); err != nil {
		return servers, err
	}
	for _, port := range given.ports {
		if err := add(port[0], port[1], false); err != nil {
			return servers, err
		}
	}
	for _, port := range given.clusters {
		if err := add(port[0], port[1], true); err != nil {
			return servers, err
		}
	}
	return servers, nil
}
