//! Room for values that never moves them: growing a plain vector of a million orders
//! would stop selling for as long as the copy takes.

const CHUNK: usize = 1024;

/// Values in chunks, named by an index; freed places are used again.
#[derive(Debug, Clone)]
pub(crate) struct Arena<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
}

impl<T> Arena<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(at) = self.free.pop() {
            self.chunks[at as usize / CHUNK][at as usize % CHUNK] = Some(value);
            return at;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            // The first grows as it fills: most sales have few customers.
            self.chunks.push(Vec::with_capacity(if self.chunks.is_empty() { 0 } else { CHUNK }));
        }
        let full = (self.chunks.len() - 1) * CHUNK;
        let chunk = &mut self.chunks[full / CHUNK];
        chunk.push(Some(value));
        #[expect(clippy::cast_possible_truncation, reason = "4 billion orders do not fit the memory")]
        {
            (full + chunk.len() - 1) as u32
        }
    }

    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        self.chunks.get(at as usize / CHUNK)?.get(at as usize % CHUNK)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.chunks.get_mut(at as usize / CHUNK)?.get_mut(at as usize % CHUNK)?.as_mut()
    }

    pub(crate) fn remove(&mut self, at: u32) -> Option<T> {
        let gone = self.chunks.get_mut(at as usize / CHUNK)?.get_mut(at as usize % CHUNK)?.take()?;
        self.free.push(at);
        Some(gone)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::Arena;

    #[test]
    fn places_are_used_again_and_values_stay_where_they_are() {
        let mut arena = Arena::new();
        let at: Vec<u32> = (0..3000).map(|n| arena.insert(n)).collect();
        assert_eq!(arena.remove(at[1500]), Some(1500));
        assert_eq!(arena.remove(at[1500]), None);
        assert_eq!(arena.insert(7), at[1500]);
        assert_eq!((arena.get(at[1500]), arena.get(at[2999]), arena.get(3000)), (Some(&7), Some(&2999), None));
        assert_eq!(arena.iter().count(), 3000);
    }
}
