use super::*;
use proptest::prelude::*;

fn random() -> fastrand::Rng {
    fastrand::Rng::with_seed(3)
}

/// How often each of `totals` comes first in 4,000 draws.
fn firsts(picker: Picker, totals: &[f32]) -> Vec<u32> {
    let mut random = random();
    let mut firsts = vec![0; totals.len()];
    for _ in 0..4000 {
        firsts[picker.pick(totals, &mut random)[0]] += 1;
    }
    firsts
}

fn about(count: u32, expected: u32) -> bool {
    count.abs_diff(expected) < 200
}

proptest! {
    #[test]
    fn the_best_come_first_as_if_all_were_sorted(totals in prop::collection::vec(-9i8..9, 0..60)) {
        let totals: Vec<f32> = totals.into_iter().map(f32::from).collect();
        let picked = Picker::MaxScore(MaxScorePicker).pick(&totals, &mut random());
        let mut sorted = totals.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        sorted.truncate(CANDIDATES_MAX);
        prop_assert_eq!(picked.iter().map(|&place| totals[place]).collect::<Vec<_>>(), sorted);
        let mut places = picked.to_vec();
        places.sort_unstable();
        places.dedup();
        prop_assert_eq!(places.len(), picked.len(), "nobody comes twice");
    }
}

#[test]
fn equals_come_first_equally_often() {
    let firsts = firsts(Picker::MaxScore(MaxScorePicker), &[1.0, 0.0, 1.0, 1.0, 0.5, 1.0]);
    assert_eq!((firsts[1], firsts[4]), (0, 0));
    assert!([0, 2, 3, 5].iter().all(|&place| about(firsts[place], 1000)), "{firsts:?}");
}

#[test]
fn every_order_of_equals_is_as_likely() {
    let mut random = random();
    for count in 2..=CANDIDATES_MAX + 3 {
        let (mut firsts, mut follows) = (vec![0_u32; count], vec![0_u32; count]);
        for _ in 0..1000 * count {
            let picked = Picker::MaxScore(MaxScorePicker).pick(&vec![1.0; count], &mut random);
            firsts[picked[0]] += 1;
            follows[(picked[1] + count - picked[0]) % count] += 1;
        }
        assert!(firsts.iter().all(|&times| about(times, 1000)), "{firsts:?} of {count}");
        let expected = 1000 * count as u32 / (count as u32 - 1);
        assert!(
            follows[1..].iter().all(|&times| about(times, expected)),
            "{follows:?} behind the first of {count}"
        );
    }
}

#[test]
fn the_random_picker_does_not_look_at_scores() {
    let firsts = firsts(Picker::Random(RandomPicker), &[9.0, 0.0, -3.0, 1.0]);
    assert!(firsts.iter().all(|&count| about(count, 1000)), "{firsts:?}");
}

#[test]
fn the_weighted_random_picker_draws_in_proportion() {
    let picker = Picker::WeightedRandom(WeightedRandomPicker);
    let drawn = firsts(picker, &[3.0, 1.0, 0.0]);
    assert!(about(drawn[0], 3000) && about(drawn[1], 1000) && drawn[2] == 0, "{drawn:?}");
    let even = firsts(picker, &[0.0, 0.0, -1.0, 0.0]);
    assert!(even.iter().all(|&count| about(count, 1000)), "{even:?}");
}
