//! English number words.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The effect of a word on the number being parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberWord {
    Zero,
    /// One to nineteen.
    Unit(&'static str),
    /// Twenty to ninety.
    Ten(&'static str),
    /// A power of ten.
    Power(usize),
    /// The same as ordinals or plurals, which end the number.
    LastUnit(&'static str, &'static str),
    LastTen(&'static str, &'static str),
    LastPower(usize, &'static str),
    /// Precedes a number and is written as this sign.
    Sign(char),
    /// Follows a number and is written before it.
    Currency(char),
    Percent,
    Per,
    And,
    Times(usize),
    Point,
}

const UNITS: [(&str, &str, &str, &str); 19] = [
    ("one", "ones", "first", "1"),
    ("two", "twos", "second", "2"),
    ("three", "threes", "third", "3"),
    ("four", "fours", "fourth", "4"),
    ("five", "fives", "fifth", "5"),
    ("six", "sixes", "sixth", "6"),
    ("seven", "sevens", "seventh", "7"),
    ("eight", "eights", "eighth", "8"),
    // openai's list has this typo, so `ninth` is not recognized.
    ("nine", "nines", "nineth", "9"),
    ("ten", "tens", "tenth", "10"),
    ("eleven", "elevens", "eleventh", "11"),
    ("twelve", "twelves", "twelfth", "12"),
    ("thirteen", "thirteens", "thirteenth", "13"),
    ("fourteen", "fourteens", "fourteenth", "14"),
    ("fifteen", "fifteens", "fifteenth", "15"),
    ("sixteen", "sixteens", "sixteenth", "16"),
    ("seventeen", "seventeens", "seventeenth", "17"),
    ("eighteen", "eighteens", "eighteenth", "18"),
    ("nineteen", "nineteens", "nineteenth", "19"),
];

const TENS: [(&str, &str, &str, &str); 8] = [
    ("twenty", "twenties", "twentieth", "20"),
    ("thirty", "thirties", "thirtieth", "30"),
    ("forty", "forties", "fortieth", "40"),
    ("fifty", "fifties", "fiftieth", "50"),
    ("sixty", "sixties", "sixtieth", "60"),
    ("seventy", "seventies", "seventieth", "70"),
    ("eighty", "eighties", "eightieth", "80"),
    ("ninety", "nineties", "ninetieth", "90"),
];

const POWERS: [(&str, &str, &str, usize); 12] = [
    ("hundred", "hundreds", "hundredth", 2),
    ("thousand", "thousands", "thousandth", 3),
    ("million", "millions", "millionth", 6),
    ("billion", "billions", "billionth", 9),
    ("trillion", "trillions", "trillionth", 12),
    ("quadrillion", "quadrillions", "quadrillionth", 15),
    ("quintillion", "quintillions", "quintillionth", 18),
    ("sextillion", "sextillions", "sextillionth", 21),
    ("septillion", "septillions", "septillionth", 24),
    ("octillion", "octillions", "octillionth", 27),
    ("nonillion", "nonillions", "nonillionth", 30),
    ("decillion", "decillions", "decillionth", 33),
];

const OTHERS: [(&str, NumberWord); 22] = [
    ("o", NumberWord::Zero),
    ("oh", NumberWord::Zero),
    ("zero", NumberWord::Zero),
    ("zeroth", NumberWord::LastUnit("0", "th")),
    ("minus", NumberWord::Sign('-')),
    ("negative", NumberWord::Sign('-')),
    ("plus", NumberWord::Sign('+')),
    ("positive", NumberWord::Sign('+')),
    ("pound", NumberWord::Currency('£')),
    ("pounds", NumberWord::Currency('£')),
    ("euro", NumberWord::Currency('€')),
    ("euros", NumberWord::Currency('€')),
    ("dollar", NumberWord::Currency('$')),
    ("dollars", NumberWord::Currency('$')),
    ("cent", NumberWord::Currency('¢')),
    ("cents", NumberWord::Currency('¢')),
    ("percent", NumberWord::Percent),
    ("per", NumberWord::Per),
    ("and", NumberWord::And),
    ("double", NumberWord::Times(2)),
    ("triple", NumberWord::Times(3)),
    ("point", NumberWord::Point),
];

static WORDS: LazyLock<HashMap<&str, NumberWord>> = LazyLock::new(|| {
    let mut words = HashMap::from(OTHERS);
    for (name, plural, ordinal, digits) in UNITS {
        let ending = match digits {
            "1" => "st",
            "2" => "nd",
            "3" => "rd",
            _ => "th",
        };
        words.insert(name, NumberWord::Unit(digits));
        words.insert(plural, NumberWord::LastUnit(digits, "s"));
        words.insert(ordinal, NumberWord::LastUnit(digits, ending));
    }
    for (name, plural, ordinal, digits) in TENS {
        words.insert(name, NumberWord::Ten(digits));
        words.insert(plural, NumberWord::LastTen(digits, "s"));
        words.insert(ordinal, NumberWord::LastTen(digits, "th"));
    }
    for (name, plural, ordinal, zeros) in POWERS {
        words.insert(name, NumberWord::Power(zeros));
        words.insert(plural, NumberWord::LastPower(zeros, "s"));
        words.insert(ordinal, NumberWord::LastPower(zeros, "th"));
    }
    words
});

impl NumberWord {
    pub fn of(word: &str) -> Option<Self> {
        WORDS.get(word).copied()
    }

    /// Returns whether it can follow `point`.
    pub fn is_spoken_digit(self) -> bool {
        matches!(self, NumberWord::Zero | NumberWord::Unit(_) | NumberWord::Ten(_))
    }
}
