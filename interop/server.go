package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/redis/go-redis/v9"
	store "github.com/runatlantis/atlantis/server/core/redis"
)

// server is one of the servers that are compared.
type server struct {
	name    string
	address string
	cluster bool
	// first and second are two Atlantis' of one installation: each has connections of its own.
	first, second *store.RedisDB
	// raw writes what an Atlantis of former days left behind, and deletes what checks leave.
	raw *redis.Client
}

// openServer connects to a server that must be empty, since everything on it will be deleted.
func openServer(name, address string, cluster bool) (*server, error) {
	s := &server{name: name, address: address, cluster: cluster}
	s.raw = redis.NewClient(&redis.Options{Addr: address})
	keys, err := s.raw.Keys(context.Background(), "*").Result()
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%s at %s: %w", name, address, err)
	}
	if len(keys) > 0 {
		s.close()
		return nil, fmt.Errorf("%s at %s has %d keys, and this program deletes all: start an empty one", name, address, len(keys))
	}
	if s.first, err = s.atlantis(); err == nil {
		s.second, err = s.atlantis()
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// atlantis opens the store as Atlantis does when it starts; it takes over old keys then.
func (s *server) atlantis() (*store.RedisDB, error) {
	if s.cluster {
		return store.NewWithConfig(store.Config{ClusterAddresses: []string{s.address}})
	}
	host, text, err := net.SplitHostPort(s.address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, err
	}
	return store.NewWithConfig(store.Config{Hostname: host, Port: port})
}

// interrupted opens a store that calls before each DEL: what others may do between the reading and the deleting of a
// lock happens there every time. The client is of the plain kind also where Atlantis speaks to a cluster.
func (s *server) interrupted(before func()) (*store.RedisDB, error) {
	client := redis.NewClient(&redis.Options{Addr: s.address})
	client.AddHook(beforeDel(before))
	return store.NewWithClient(client, "", "")
}

// elsewhere opens a store on another machine: the port tells clients apart by their address.
func (s *server) elsewhere() (*store.RedisDB, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: otherMachine}}
	client := redis.NewClient(&redis.Options{
		Addr: s.address,
		Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
	})
	return store.NewWithClient(client, "", "")
}

// otherMachine is an address that this machine has without being told, on Linux at least.
var otherMachine = net.IPv4(127, 0, 0, 2)

// isElsewherePossible says whether it has.
func isElsewherePossible() bool {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: otherMachine})
	if err == nil {
		_ = listener.Close()
	}
	return err == nil
}

// beforeDel is a hook of the Redis client that runs in front of every DEL.
type beforeDel func()

func (b beforeDel) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, command redis.Cmder) error {
		if command.Name() == "del" {
			b()
		}
		return next(ctx, command)
	}
}

func (b beforeDel) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b beforeDel) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// put stores a value under a key as it is.
func (s *server) put(key, value string) error {
	return s.raw.Set(context.Background(), key, value, 0).Err()
}

// clear deletes everything: checks do not see what others left.
func (s *server) clear() error {
	ctx := context.Background()
	keys, err := s.raw.Keys(ctx, "*").Result()
	if err != nil {
		return fmt.Errorf("clearing %s: %w", s.name, err)
	}
	for _, key := range keys {
		if err := s.raw.Del(ctx, key).Err(); err != nil {
			return fmt.Errorf("clearing %s of %s: %w", s.name, key, err)
		}
	}
	return nil
}

func (s *server) close() {
	for _, db := range []*store.RedisDB{s.first, s.second} {
		if db != nil {
			_ = db.Close()
		}
	}
	_ = s.raw.Close()
}
