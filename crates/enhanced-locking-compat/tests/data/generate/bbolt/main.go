// Writes small bbolt files of many shapes. See ../README.md.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	bolt "go.etcd.io/bbolt"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var names = []string{"runLocks", "pulls", "globalLocks"}

func open(path string, options *bolt.Options) *bolt.DB {
	must(os.RemoveAll(path))
	db, err := bolt.Open(path, 0o600, options)
	must(err)
	must(db.Update(func(tx *bolt.Tx) error {
		for _, name := range names {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	}))
	return db
}

func put(db *bolt.DB, bucket, key, value string) {
	must(db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte(bucket)).Put([]byte(key), []byte(value)) }))
}

const repo = `"BaseRepo":{"FullName":"acme/infra","Owner":"acme","Name":"infra","CloneURL":"https://bot:ghp_TOKEN0123456789@github.com/acme/infra.git","SanitizedCloneURL":"https://bot:\u003credacted\u003e@github.com/acme/infra.git","VCSHost":{"Hostname":"github.com","Type":0}}`

func lock(number int, path, body string) string {
	return fmt.Sprintf(`{"Project":{"ProjectName":"","RepoFullName":"acme/infra","Path":"%s"},"Pull":{"Num":%d,"HeadCommit":"2737c45a7bd1f1b1e7a1b1b5d3a5a0a5c1f9e8d7","URL":"https://github.com/acme/infra/pull/%d","HeadBranch":"x","BaseBranch":"main","HardenedNonPRRefCheckout":false,"Author":"alice","Body":"%s","State":0,%s},"User":{"Username":"alice","Teams":null},"Workspace":"default","Time":"2026-08-22T07:30:15Z"}`, path, number, number, body, repo)
}

// Few members, to keep the files small: missing ones are zero.
func short(number int, path string) string {
	return fmt.Sprintf(`{"Project":{"RepoFullName":"acme/infra","Path":"%s"},"Pull":{"Num":%d},"Workspace":"default","Time":"2026-08-22T07:30:15Z"}`, path, number)
}

// The shapes that locks have had: members were added over the years.
var shapes = [][2]string{
	{"v0.19", `{"Project":{"RepoFullName":"acme/infra","Path":"v0.19"},"Pull":{"Num":19,"HeadCommit":"abc","URL":"https://github.com/acme/infra/pull/19","HeadBranch":"x","BaseBranch":"main","Author":"alice","State":0,` + repo + `},"User":{"Username":"alice"},"Workspace":"default","Time":"2022-03-01T12:00:00.5+01:00"}`},
	{"v0.19-no-base-repo", `{"Project":{"RepoFullName":"acme/infra","Path":"v0.19-no-base-repo"},"Pull":{"Num":18,"HeadCommit":"abc","URL":"https://github.com/acme/infra/pull/18","Branch":"x","Author":"alice","State":0},"User":{"Username":"alice"},"Workspace":"default","Time":"2018-03-01T12:00:00.000000001Z"}`},
	{"v0.28", `{"Project":{"ProjectName":"net","RepoFullName":"acme/infra","Path":"v0.28"},"Pull":{"Num":28,"HeadCommit":"abc","URL":"https://github.com/acme/infra/pull/28","HeadBranch":"x","BaseBranch":"main","Author":"alice","State":1,` + repo + `},"User":{"Username":"alice"},"Workspace":"default","Time":"2024-05-01T12:00:00Z"}`},
	{"v0.30", `{"Project":{"ProjectName":"net","RepoFullName":"acme/infra","Path":"v0.30"},"Pull":{"Num":30,"HeadCommit":"abc","URL":"https://github.com/acme/infra/pull/30","HeadBranch":"x","BaseBranch":"main","Author":"alice","State":0,` + repo + `},"User":{"Username":"alice","Teams":["ops"]},"Workspace":"default","Time":"2024-11-01T12:00:00Z"}`},
	{"v0.45", lock(45, "v0.45", "text")},
	{"future", `{"Lease":{"Owner":"x"},"Project":{"ProjectName":"","RepoFullName":"acme/infra","Path":"future"},"Pull":{"Num":99,"Labels":["a"]},"Workspace":"default","Time":"2027-01-01T00:00:00Z"}`},
}

func dump(path string) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	must(err)
	defer db.Close()
	var text strings.Builder
	must(db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, bucket *bolt.Bucket) error {
			fmt.Fprintf(&text, "bucket\t%s\n", name)
			return bucket.ForEach(func(key, value []byte) error {
				if value == nil {
					fmt.Fprintf(&text, "nested\t%s\n", key)
					return nil
				}
				sum := uint64(0xcbf29ce484222325)
				for _, b := range value {
					sum = (sum ^ uint64(b)) * 0x100000001b3
				}
				fmt.Fprintf(&text, "entry\t%s\t%d\t%016x\n", key, len(value), sum)
				return nil
			})
		})
	}))
	must(os.WriteFile(strings.TrimSuffix(path, ".db")+".txt", []byte(text.String()), 0o644))
}

func main() {
	if os.Args[1] == "dump" {
		for _, path := range os.Args[2:] {
			dump(path)
		}
		return
	}
	dir, version, only := os.Args[1], os.Args[2], os.Args[3]
	file := func(name string) string { return filepath.Join(dir, "bbolt-"+version+"-"+name+".db") }
	makers := map[string]func(path string){
		"empty": func(path string) { must(open(path, nil).Close()) },
		"shapes": func(path string) {
			db := open(path, nil)
			for _, shape := range shapes {
				put(db, "runLocks", "acme/infra/"+shape[0]+"/default/", shape[1])
			}
			put(db, "runLocks", "acme/infra/old/default", lock(1, "old", ""))
			put(db, "runLocks", "acme/infra/damaged/default/", `{"Pull":{"Num":"ghp_TOKEN0123456789"}}`)
			put(db, "runLocks", "acme/infra/empty/default/", "")
			put(db, "globalLocks", "apply/lock", `{"LockMetadata":{"UnixTime":1787383815},"CommandName":0}`)
			must(db.Close())
		},
		"many": func(path string) {
			db := open(path, nil)
			must(db.Update(func(tx *bolt.Tx) error {
				for i := 0; i < 300; i++ {
					p := fmt.Sprintf("envs/%03d", i)
					if err := tx.Bucket([]byte("runLocks")).Put([]byte("acme/infra/"+p+"/default/"), []byte(short(i, p))); err != nil {
						return err
					}
				}
				return nil
			}))
			must(db.Close())
		},
		"deleted": func(path string) {
			db := open(path, nil)
			for i := 0; i < 60; i++ {
				p := fmt.Sprintf("envs/%03d", i)
				put(db, "runLocks", "acme/infra/"+p+"/default/", short(i, p))
			}
			for i := 0; i < 60; i++ {
				if i%7 != 0 {
					must(db.Update(func(tx *bolt.Tx) error {
						return tx.Bucket([]byte("runLocks")).Delete([]byte(fmt.Sprintf("acme/infra/envs/%03d/default/", i)))
					}))
				}
			}
			must(db.Close())
		},
		"body": func(path string) {
			db := open(path, nil)
			put(db, "runLocks", "acme/infra/a/default/", lock(1, "a", ""))
			put(db, "runLocks", "acme/infra/b/default/", lock(2, "b", strings.Repeat("0123456789abcdef", 1500)))
			put(db, "runLocks", "acme/infra/c/default/", lock(3, "c", ""))
			must(db.Close())
		},
		"nofreelistsync": func(path string) {
			db := open(path, &bolt.Options{NoFreelistSync: true})
			put(db, "runLocks", "acme/infra/a/default/", lock(1, "a", ""))
			put(db, "runLocks", "acme/infra/a/default/", lock(2, "a", ""))
			must(db.Close())
		},
		"hashmap": func(path string) {
			db := open(path, &bolt.Options{FreelistType: bolt.FreelistMapType})
			put(db, "runLocks", "acme/infra/a/default/", lock(1, "a", ""))
			put(db, "runLocks", "acme/infra/b/default/", lock(2, "b", ""))
			must(db.Close())
		},
		"pages16k": func(path string) {
			db := open(path, &bolt.Options{PageSize: 16384})
			for i := 0; i < 80; i++ {
				p := fmt.Sprintf("envs/%03d", i)
				put(db, "runLocks", "acme/infra/"+p+"/default/", short(i, p))
			}
			must(db.Close())
		},
		"nested": func(path string) {
			db := open(path, nil)
			must(db.Update(func(tx *bolt.Tx) error {
				locks := tx.Bucket([]byte("runLocks"))
				inner, err := locks.CreateBucketIfNotExists([]byte("inner"))
				must(err)
				must(inner.Put([]byte("k"), []byte("v")))
				deep, err := inner.CreateBucketIfNotExists([]byte("deep"))
				must(err)
				for i := 0; i < 200; i++ {
					must(deep.Put([]byte(fmt.Sprintf("key%04d", i)), []byte(strings.Repeat("x", 50))))
				}
				must(locks.Put([]byte("acme/infra/a/default/"), []byte(lock(1, "a", ""))))
				other, err := tx.CreateBucketIfNotExists([]byte("somebody else's"))
				must(err)
				return other.Put([]byte("x"), []byte("y"))
			}))
			must(db.Close())
		},
	}
	for _, name := range strings.Split(only, ",") {
		makers[name](file(name))
	}
}
