//! A list whose first places cost no allocation.
//!
//! Why here: most requests meet one or two rules, some many; the common ones must not pay for the others.
//!
//! Never here: order, removal, or anything else that a list could do.

/// Places that are in the value itself.
const INLINE: usize = 4;

#[derive(Clone, Debug)]
pub(super) struct Few<T> {
    first: [Option<T>; INLINE],
    more: Vec<T>,
    len: usize,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self { first: [const { None }; INLINE], more: Vec::new(), len: 0 }
    }
}

impl<T> Few<T> {
    pub(super) fn push(&mut self, value: T) {
        match self.first.get_mut(self.len) {
            Some(place) => *place = Some(value),
            None => self.more.push(value),
        }
        self.len += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().flatten().chain(&self.more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_pushed_in_order() {
        for len in 0..10 {
            let mut few = Few::default();
            (0..len).for_each(|number| few.push(number));
            assert_eq!(few.len(), len);
            assert_eq!(few.iter().copied().collect::<Vec<_>>(), (0..len).collect::<Vec<_>>());
        }
    }
}
