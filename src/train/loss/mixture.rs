//! The distributions of several teachers at one position, merged into one list of ids.

/// One teacher's target distribution at a position.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TeacherTargets<'a> {
    /// Its weight; the weights of all teachers sum to 1.
    pub(super) weight: f64,
    /// Distinct.
    pub(super) ids: &'a [u32],
    /// Probability of each id, as the loss uses it.
    pub(super) probs: Vec<f32>,
    /// Probability outside the ids.
    pub(super) tail: f32,
    /// Sum of p log p over ids and tail.
    pub(super) negentropy: f64,
}

/// The merged target distribution of all teachers; see [`KdTargets`](crate::train::batch::KdTargets).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mixture {
    pub(super) ids: Vec<u32>,
    pub(super) probs: Vec<f32>,
    /// One per teacher.
    pub(super) tails: Vec<f32>,
    /// For each teacher, one per id.
    pub(super) in_tail: Vec<bool>,
    pub(super) negentropy: f64,
}

impl Mixture {
    /// The targets for the weighted sum of the losses; ids are in order of first occurrence.
    pub(super) fn of(teachers: &[TeacherTargets<'_>]) -> Self {
        let mut ids: Vec<u32> = Vec::new();
        let mut probs: Vec<f64> = Vec::new();
        let mut places: Vec<Vec<usize>> = Vec::with_capacity(teachers.len());
        for teacher in teachers {
            // Ids of one teacher are distinct, so only earlier teachers can share them.
            let n_before = ids.len();
            let mut of_teacher = Vec::with_capacity(teacher.ids.len());
            for (&id, &p) in teacher.ids.iter().zip(&teacher.probs) {
                let known = ids[..n_before].iter().position(|&known| known == id);
                let place = known.unwrap_or_else(|| {
                    ids.push(id);
                    probs.push(0.0);
                    ids.len() - 1
                });
                probs[place] += teacher.weight * f64::from(p);
                of_teacher.push(place);
            }
            places.push(of_teacher);
        }
        let mut in_tail = vec![true; teachers.len() * ids.len()];
        for (of_teacher, places) in in_tail.chunks_mut(ids.len().max(1)).zip(places) {
            places
                .into_iter()
                .for_each(|place| of_teacher[place] = false);
        }
        let tails = teachers.iter();
        let tails = tails.map(|teacher| (teacher.weight * f64::from(teacher.tail)) as f32);
        let negentropies = teachers.iter();
        let negentropies = negentropies.map(|teacher| teacher.weight * teacher.negentropy);
        Self {
            ids,
            probs: probs.into_iter().map(|p| p as f32).collect(),
            tails: tails.collect(),
            in_tail,
            negentropy: negentropies.sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_several_stand_once_and_each_teacher_has_the_others_in_its_tail() {
        let teacher = |weight, ids, probs: &[f32], tail| TeacherTargets {
            weight,
            ids,
            probs: probs.to_vec(),
            tail,
            negentropy: -1.0,
        };
        let got = Mixture::of(&[
            teacher(0.75, &[5, 2], &[0.5, 0.25], 0.25),
            teacher(0.25, &[7, 5, 1], &[0.5, 0.25, 0.125], 0.125),
        ]);
        assert_eq!(got.ids, [5, 2, 7, 1]);
        assert_eq!(got.probs, [0.4375, 0.1875, 0.125, 0.03125]);
        assert_eq!(got.tails, [0.1875, 0.03125]);
        let in_tail = [false, false, true, true, false, true, false, false];
        assert_eq!(got.in_tail, in_tail);
        assert_eq!(got.negentropy, -1.0);
    }
}
