//! Which of many networks an address is in, at the cost of a few.

use std::{cmp::Reverse, net::IpAddr};

use ipnet::IpNet;

/// What holds for each address: that of the smallest network which holds it.
#[derive(Debug, Clone)]
pub struct Networks<T> {
    v4: Ranges<u32, T>,
    v6: Ranges<u128, T>,
}

/// All addresses of one kind as ranges that do not overlap. One reaches up to the next.
#[derive(Debug, Clone)]
struct Ranges<A, T> {
    starts: Vec<A>,
    values: Vec<T>,
    /// By the first bits of an address: the ranges with such a start, and the one before them. Empty where so few ranges are
    /// that the search is short.
    index: Vec<u32>,
    /// How far an address is shifted to get its first bits.
    shift: u32,
}

/// With fewer ranges than this an index saves nothing.
const FEW: usize = 64;

/// So many first bits are looked up.
const BITS: u32 = 16;

impl<T: Copy + PartialEq + Ord> Networks<T> {
    /// Of these, with what holds elsewhere. Of the same network twice, the least of the values holds.
    pub fn new(networks: impl IntoIterator<Item = (IpNet, T)>, elsewhere: T) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (network, value) in networks {
            match canonical(network) {
                IpNet::V4(network) => v4.push((u32::from(network.network()), u32::from(network.broadcast()), value)),
                IpNet::V6(network) => v6.push((u128::from(network.network()), u128::from(network.broadcast()), value)),
            }
        }
        Self {
            v4: Ranges::new(v4, elsewhere, |start| start.checked_add(1), 32 - BITS),
            v6: Ranges::new(v6, elsewhere, |start| start.checked_add(1), 128 - BITS),
        }
    }

    /// What holds for this one.
    pub fn of(&self, address: IpAddr) -> T {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.of(u32::from(address)),
            IpAddr::V6(address) => self.v6.of(u128::from(address)),
        }
    }
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`, as clients from there are seen.
fn canonical(network: IpNet) -> IpNet {
    let network = network.trunc();
    match (network.network().to_canonical(), network) {
        (IpAddr::V4(address), IpNet::V6(mapped)) if mapped.prefix_len() >= 96 => {
            IpNet::new(address.into(), mapped.prefix_len() - 96).unwrap_or(network)
        }
        _ => network,
    }
}

impl<A, T> Ranges<A, T>
where
    A: Copy + Ord + Default + std::ops::Shr<u32, Output = A> + TryInto<usize>,
    T: Copy + PartialEq + Ord,
{
    fn new(mut networks: Vec<(A, A, T)>, elsewhere: T, next: impl Fn(A) -> Option<A>, shift: u32) -> Self {
        // The larger before those within it, and of equal ones the last is the least.
        networks.sort_by_key(|(first, last, value)| (*first, Reverse(*last), Reverse(*value)));
        let mut ranges = Self { starts: vec![A::default()], values: vec![elsewhere], index: Vec::new(), shift };
        let mut around: Vec<(A, T)> = Vec::new();
        for (first, last, value) in networks {
            ranges.leave(&mut around, Some(first), elsewhere, &next);
            ranges.begin(first, value);
            around.push((last, value));
        }
        ranges.leave(&mut around, None, elsewhere, &next);
        if ranges.starts.len() > FEW {
            ranges.look_up();
        }
        ranges
    }

    /// Those that end before `until` end, and what is around them goes on.
    fn leave(&mut self, around: &mut Vec<(A, T)>, until: Option<A>, elsewhere: T, next: &impl Fn(A) -> Option<A>) {
        while let Some((last, _)) = around.pop_if(|(last, _)| until.is_none_or(|until| *last < until)) {
            let value = around.last().map_or(elsewhere, |(_, value)| *value);
            if let Some(after) = next(last) {
                self.begin(after, value);
            }
        }
    }

    fn begin(&mut self, start: A, value: T) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        if self.values.last() != Some(&value) {
            self.starts.push(start);
            self.values.push(value);
        }
    }

    fn look_up(&mut self) {
        let mut index = vec![0; (1 << BITS) + 1];
        for start in &self.starts {
            index[self.first_bits(*start) + 1] += 1;
        }
        let mut sum = 0;
        for count in &mut index {
            sum += *count;
            *count = sum;
        }
        self.index = index;
    }

    fn first_bits(&self, address: A) -> usize {
        (address >> self.shift).try_into().unwrap_or(usize::MAX)
    }

    fn of(&self, address: A) -> T {
        let bits = self.first_bits(address);
        let (from, to) = match (self.index.get(bits), self.index.get(bits + 1)) {
            (Some(from), Some(to)) => (*from as usize, *to as usize),
            _ => (0, self.starts.len()),
        };
        let behind = from + self.starts[from..to].partition_point(|start| *start <= address);
        self.values[behind.max(1) - 1]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By the words of the promise: the smallest that holds it.
    fn naive(networks: &[(IpNet, u8)], address: IpAddr) -> u8 {
        let address = address.to_canonical();
        let holding = networks.iter().map(|(network, value)| (canonical(*network), *value));
        let holding = holding.filter(|(network, _)| network.contains(&address));
        holding.min_by_key(|(network, value)| (Reverse(network.prefix_len()), *value)).map_or(9, |(_, value)| value)
    }

    fn a_network() -> impl Strategy<Value = (IpNet, u8)> {
        // Few bits differ, so that networks lie within each other.
        let v4 = (any::<u8>(), any::<u8>(), 0_u8..=32)
            .prop_map(|(a, b, len)| IpNet::new([10, a % 4, b % 4, b].into(), len).expect("a length that can be"));
        let v6 = (any::<u8>(), 0_u8..=128).prop_map(|(a, len)| {
            let address = [0x2001, u16::from(a % 3), 0, 0, 0, 0, 0, u16::from(a)];
            IpNet::new(address.into(), len).expect("a length that can be")
        });
        let mapped = (any::<u8>(), 90_u8..=128).prop_map(|(a, len)| {
            IpNet::new([0, 0, 0, 0, 0, 0xffff, 0x0a00, u16::from(a)].into(), len).expect("a length that can be")
        });
        (prop_oneof![v4, v6, mapped], 0_u8..3)
    }

    proptest! {
        #[test]
        fn the_smallest_network_that_holds_an_address_decides(
            networks in proptest::collection::vec(a_network(), 0..200),
            others in proptest::collection::vec(any::<u32>(), 20),
        ) {
            let all = Networks::new(networks.clone(), 9);
            let edges = networks.iter().flat_map(|(network, _)| [network.addr(), network.network(), network.broadcast()]);
            let others = others.iter().map(|bits| IpAddr::from(bits.to_be_bytes()));
            let ends = [[0; 4].into(), [255; 4].into(), IpAddr::from([0_u8; 16]), IpAddr::from([255_u8; 16])];
            for address in edges.chain(others).chain(ends) {
                prop_assert_eq!(all.of(address), naive(&networks, address), "{}", address);
            }
        }
    }
}
