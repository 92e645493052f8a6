//! The cost of a break after a unit of text: how much it disturbs a reader.

use super::units::Unit;

const SENTENCE: f64 = 0.0;
const SEGMENT: f64 = 2.0;
const CLAUSE: f64 = 3.0;
const CONJUNCTION: f64 = 6.0;
const PLAIN: f64 = 14.0;
/// A break between an article or a preposition and its noun.
const PHRASE: f64 = 20.0;
/// The milliseconds of silence at which a break costs nothing; from a third of it on, a break costs half.
const PAUSE: i64 = 1_000;

/// The words of a language that decide where its sentences can be broken.
#[derive(Clone, Copy)]
pub struct BreakRules {
    /// Words that begin a clause.
    conjunctions: &'static [&'static str],
    /// Words that belong to what follows.
    leading: &'static [&'static str],
}

/// The rules by language code.
const RULES: &[(&str, BreakRules)] = &[
    (
        "en",
        BreakRules {
            conjunctions: &[
                "and", "but", "or", "nor", "so", "because", "that", "which", "who", "when", "while", "where",
                "if", "though", "although", "until", "unless", "since", "before", "after", "then", "than",
            ],
            leading: &[
                "a", "an", "the", "of", "to", "in", "on", "at", "by", "for", "from", "with", "my", "your",
                "his", "her", "its", "our", "their", "this", "these", "those", "no", "very", "mr.", "mrs.",
                "ms.", "dr.",
            ],
        },
    ),
    (
        "de",
        BreakRules {
            conjunctions: &[
                "und", "aber", "oder", "denn", "sondern", "weil", "dass", "wenn", "als", "ob", "während",
                "wo", "obwohl", "bis", "damit", "bevor", "nachdem", "sodass",
            ],
            leading: &[
                "der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "einem", "einer", "eines",
                "im", "in", "am", "an", "auf", "zum", "zur", "zu", "mit", "von", "vom", "für", "bei", "kein",
                "keine", "mein", "dein", "sein", "ihr", "unser", "sehr", "dr.",
            ],
        },
    ),
    (
        "es",
        BreakRules {
            conjunctions: &[
                "y", "e", "o", "u", "pero", "sino", "porque", "que", "cuando", "mientras", "donde", "si",
                "aunque", "hasta", "pues",
            ],
            leading: &[
                "el", "la", "los", "las", "un", "una", "unos", "unas", "lo", "al", "del", "de", "en", "a",
                "con", "por", "para", "mi", "tu", "su", "sus", "muy", "no", "sr.", "sra.", "dr.",
            ],
        },
    ),
    (
        "fr",
        BreakRules {
            conjunctions: &[
                "et", "mais", "ou", "donc", "car", "que", "qui", "quand", "lorsque", "si", "parce", "où",
                "puisque", "comme",
            ],
            leading: &[
                "le", "la", "les", "un", "une", "des", "du", "de", "au", "aux", "à", "en", "dans", "sur",
                "par", "pour", "avec", "mon", "ma", "mes", "ton", "son", "sa", "ses", "ce", "cette", "ces",
                "très", "ne", "m.", "mme",
            ],
        },
    ),
    (
        "it",
        BreakRules {
            conjunctions: &[
                "e", "ed", "ma", "o", "però", "perché", "che", "quando", "mentre", "dove", "se", "anche",
            ],
            leading: &[
                "il", "lo", "la", "i", "gli", "le", "un", "uno", "una", "di", "del", "della", "a", "al",
                "in", "nel", "con", "su", "per", "da", "dal", "mio", "suo", "non",
            ],
        },
    ),
    (
        "pt",
        BreakRules {
            conjunctions: &[
                "e", "mas", "ou", "porque", "que", "quando", "enquanto", "onde", "se", "embora", "pois",
            ],
            leading: &[
                "o", "a", "os", "as", "um", "uma", "de", "do", "da", "em", "no", "na", "com", "por", "para",
                "meu", "seu", "sua", "muito", "não",
            ],
        },
    ),
    (
        "nl",
        BreakRules {
            conjunctions: &[
                "en", "maar", "of", "want", "omdat", "dat", "die", "als", "toen", "terwijl", "waar", "hoewel",
            ],
            leading: &[
                "de", "het", "een", "in", "op", "aan", "van", "voor", "met", "bij", "te", "mijn", "zijn",
                "haar", "geen",
            ],
        },
    ),
];

impl BreakRules {
    /// Returns the rules of a language by its code; for other languages only punctuation counts.
    pub fn new(code: &str) -> Self {
        let known = RULES.iter().find(|(language, _)| *language == code);
        known.map_or(Self { conjunctions: &[], leading: &[] }, |(_, rules)| *rules)
    }
}

/// Returns the cost of a break after a unit.
pub fn cost(unit: &Unit, next: &Unit, rules: BreakRules) -> f64 {
    let by_text = cost_by_text(&unit.text, &next.text, rules);
    let by_segment = if unit.ends_segment { by_text.min(SEGMENT) } else { by_text };
    match next.start - unit.end {
        pause if pause >= PAUSE => SENTENCE,
        pause if pause >= PAUSE / 3 => by_segment / 2.0,
        _ => by_segment,
    }
}

/// Returns whether a sentence probably ends with this text.
pub fn ends_sentence(text: &str, next: &str) -> bool {
    let mut ends = text.trim_end_matches(is_closing).chars().rev();
    match ends.next() {
        Some('!' | '?' | '…' | '。' | '！' | '？' | '؟' | '।') => true,
        // An initial, an abbreviation or an ordinal number.
        Some('.') => {
            let is_lowercase = next.chars().find(|c| c.is_alphanumeric()).is_some_and(char::is_lowercase);
            let is_initial = text.chars().count() == 2 && text.starts_with(char::is_uppercase);
            !is_lowercase && !is_initial
        }
        _ => false,
    }
}

fn cost_by_text(text: &str, next: &str, rules: BreakRules) -> f64 {
    let bare = text.trim_matches(|c: char| is_closing(c) || "([{“‘«¿¡".contains(c)).to_lowercase();
    if rules.leading.contains(&bare.as_str()) {
        return PHRASE;
    }
    if ends_sentence(text, next) {
        return SENTENCE;
    }
    if text.trim_end_matches(is_closing).ends_with([',', ';', ':', '，', '、', '；', '：', '،', '–', '—'])
    {
        return CLAUSE;
    }
    let next = next.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    if rules.conjunctions.contains(&next.as_str()) { CONJUNCTION } else { PLAIN }
}

fn is_closing(character: char) -> bool {
    ")]}\"'”’»」』）】".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_breaks_by_how_much_they_disturb() {
        let en = BreakRules::new("en");
        let ranks =
            [("done.", "Next"), ("said,", "the"), ("left", "and"), ("big", "house"), ("the", "house")];
        let costs = ranks.map(|(text, next)| cost_by_text(text, next, en));
        assert!(costs.is_sorted_by(|a, b| a < b), "{costs:?}");
        assert_eq!(cost_by_text("Mr.", "Bell", en), PHRASE);
        assert_eq!(cost_by_text("left", "and", BreakRules::new("xx")), PLAIN);
    }

    #[test]
    fn not_every_full_stop_ends_a_sentence() {
        for (text, next, ends) in [
            ("door.", "Now", true),
            ("door.\"", "Now", true),
            ("e.g.", "doors", false),
            ("J.", "Smith", false),
            ("了。", "我", true),
            ("door", "Now", false),
            ("3.", "5", true),
        ] {
            assert_eq!(ends_sentence(text, next), ends, "{text} {next}");
        }
    }
}
