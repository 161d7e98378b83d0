//! What `CLUSTER NODES` says. Owns reading it, nothing more.

/// One line: a server as another knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) id: String,
    /// It is the one that was asked.
    pub(super) is_self: bool,
    /// Whose replica it is.
    pub(super) master: Option<String>,
    /// First and last slot of each range.
    pub(super) slots: Vec<(u16, u16)>,
}

impl Node {
    pub(super) fn serves(&self, slot: u16) -> bool {
        self.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }
}

/// The servers, without those of which only the address is known yet.
pub(super) fn parse(text: &str) -> Vec<Node> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Node> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [id, _address, flags, master, _ping, _pong, _epoch, _link, slots @ ..] = fields.as_slice() else {
        return None;
    };
    let has = |flag| flags.split(',').any(|one| one == flag);
    if has("handshake") || has("noaddr") {
        return None;
    }
    let slots = slots.iter().filter_map(|range| {
        // `[93-<-id]` is a slot on its way, not one that is served.
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some((first.parse().ok()?, last.parse().ok()?))
    });
    Some(Node {
        id: (*id).to_owned(),
        is_self: has("myself"),
        master: (*master != "-").then(|| (*master).to_owned()),
        slots: slots.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masters_replicas_and_moving_slots_are_told_apart() {
        let nodes = parse(
            "aa 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-5 7 [9-<-bb]\n\
             bb 127.0.0.1:3@4,host slave aa 0 0 2 connected\n\
             cc 127.0.0.1:5@6 handshake - 0 0 0 disconnected\n",
        );
        assert_eq!(nodes.len(), 2);
        assert!(nodes[0].is_self && nodes[0].serves(7) && !nodes[0].serves(6) && !nodes[0].serves(9));
        assert_eq!((nodes[1].master.as_deref(), nodes[1].is_self), (Some("aa"), false));
    }
}
