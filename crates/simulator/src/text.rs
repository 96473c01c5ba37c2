//! The words of a simulated answer: the same for the same question, and plainly simulated.

/// The words of one answer, one token each, without end.
#[derive(Debug)]
pub(crate) struct Answer {
    intro: std::vec::IntoIter<String>,
    /// The sentence under way, and the word in it that comes next.
    sentence: usize,
    word: usize,
    /// Tokens at which the answer ends of itself, at the end of a sentence.
    natural_tokens: u32,
    /// Words given.
    given: u32,
}

const SKY: &str = "The sky is blue, because air scatters short waves of light more than long ones.";

const SENTENCES: [&str; 8] = [
    "A pointsman sets the points before the train arrives.",
    "The signal at the junction shows green for the main line.",
    "Freight waits in the siding while the express goes by.",
    "Every carriage follows the one ahead of it.",
    "The timetable says one thing and the clock another.",
    "Two tracks meet here and only one of them is free.",
    "The last train of the day carries the mail.",
    "Nobody on the platform notices a well set switch.",
];

impl Answer {
    /// The answer of `model` at `endpoint` to `question`; `seed` chooses the words, and it ends of itself after
    /// about `tokens`.
    pub(crate) fn new(model: &str, endpoint: &str, question: &[u8], seed: u64, tokens: u32) -> Self {
        let mut intro: Vec<String> =
            ["Simulated", "answer", "of", model, "at", endpoint].into_iter().map(String::from).collect();
        intro.extend("(no model was run):".split(' ').map(String::from));
        if asks_about_sky(question) {
            intro.extend(SKY.split(' ').map(String::from));
        }
        let start = (seed % SENTENCES.len() as u64) as usize;
        let mut natural_tokens = intro.len() as u32;
        let mut sentence = start;
        while natural_tokens < tokens || sentence == start {
            natural_tokens += SENTENCES[sentence % SENTENCES.len()].split(' ').count() as u32;
            sentence += 1;
        }
        Self { intro: intro.into_iter(), sentence: start, word: 0, natural_tokens, given: 0 }
    }

    /// Where the answer ends of itself.
    pub(crate) fn natural_tokens(&self) -> u32 {
        self.natural_tokens
    }

    /// The next word, with the space before it.
    pub(crate) fn next_word(&mut self) -> String {
        let word = self.intro.next().unwrap_or_else(|| self.next_of_sentences().into());
        self.given += 1;
        if self.given > 1 { format!(" {word}") } else { word }
    }

    /// The first `tokens` words as one text.
    pub(crate) fn text(mut self, tokens: u32) -> String {
        (0..tokens).map(|_| self.next_word()).collect()
    }

    fn next_of_sentences(&mut self) -> &'static str {
        let mut words = SENTENCES[self.sentence % SENTENCES.len()].split(' ').skip(self.word);
        let word = words.next().unwrap_or("");
        match words.next() {
            Some(_) => self.word += 1,
            None => (self.sentence, self.word) = (self.sentence.wrapping_add(1), 0),
        }
        word
    }
}

fn asks_about_sky(question: &[u8]) -> bool {
    question.windows(4).rev().take(SKY_SEARCH_BYTES).any(|window| window.eq_ignore_ascii_case(b" sky"))
}

/// Only the end of a question is searched: it is where the question is, and a long prompt must stay cheap.
const SKY_SEARCH_BYTES: usize = 512;

/// Stirs bytes into a number (FNV-1a): cheap, the same everywhere, and no defence against anybody.
pub(crate) fn mix(seed: u64, bytes: &[u8]) -> u64 {
    let start = seed ^ 0xcbf2_9ce4_8422_2325;
    bytes.iter().fold(start, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_a_sentence_after_as_many_words_as_asked() {
        for seed in 0..20 {
            let answer = Answer::new("gemma", "here", b"hi", seed, 40);
            let tokens = answer.natural_tokens();
            assert!((40..52).contains(&tokens), "{tokens}");
            let text = answer.text(tokens);
            assert_eq!(text.split(' ').count() as u32, tokens);
            assert!(text.ends_with('.'), "{text}");
        }
    }

    #[test]
    fn the_sky_is_blue_only_for_those_who_ask() {
        let text = |question: &[u8]| Answer::new("gemma", "here", question, 0, 40).text(40);
        assert!(text(b"What is the color of the Sky?").contains("The sky is blue"));
        assert!(!text(b"Who sets the points?").contains("sky"));
    }
}
