// Intl.Collator: texts in the order in which a language writes them down. `support` has what intl.js shares.
//
// Texts are compared as the Unicode Collation Algorithm does: first by letters, then by accents, then by case. Letters
// of the alphabets here have their places; what no list below names follows by its code.
(support) => {
  'use strict';
  const { localeOf, choice } = support;
  // The order of what is no letter, as CLDR's root has it.
  const MARKS = '_-–—,;:!¡?¿.…\'‘’"“”()[]{}@*/\\&#%`´^¨+±<=>|~$¢£¥€';
  const LIKE = { 'ß': 'ss', 'ø': 'o', 'đ': 'd', 'ł': 'l', 'ħ': 'h', 'ı': 'i', 'ŧ': 't', 'æ': 'ae', 'œ': 'oe', 'ſ': 's' };
  // Letters of their own: those of a group stand behind the letter before the colon, in this order.
  const OWN = {
    sv: 'z:å ä=æ ö=ø', fi: 'z:å ä=æ ö=ø', da: 'z:æ=ä ø=ö å=aa', nb: 'z:æ=ä ø=ö å=aa', es: 'n:ñ', et: 's:š z ž|w:õ ä ö ü',
    pl: 'a:ą|c:ć|e:ę|l:ł|n:ń|o:ó|s:ś|z:ź ż', cs: 'c:č|h:ch|r:ř|s:š|z:ž', sk: 'a:ä|c:č|h:ch|o:ô|s:š|z:ž', sl: 'c:č ć|d:đ|s:š|z:ž',
    hr: 'c:č ć|d:dž đ|l:lj|n:nj|s:š|z:ž', hu: 'c:cs|d:dz dzs|g:gy|l:ly|n:ny|o:ö=ő|s:sz|t:ty|u:ü=ű|z:zs', ro: 'a:ă â|i:î|s:ș=ş|t:ț=ţ',
    tr: 'c:ç|g:ğ|h:ı|o:ö|s:ş|u:ü', lv: 'c:č|g:ģ|k:ķ|l:ļ|n:ņ|s:š|z:ž', lt: 'c:č|s:š|z:ž', vi: 'a:ă â|d:đ|e:ê|o:ô ơ|u:ư',
    uk: 'г:ґ', ru: '', de: '',
  };
  // A letter's place as three code units: its class (blank, mark, digit, letter), its code, its step behind that letter.
  const placed = (kind, code, step) => String.fromCharCode(kind + 1, (code >> 10) + 1, ((code & 1023) << 4) + step + 1);
  // Letters of their own script stand first in these languages.
  const FIRST = { ko: /[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]/, ru: /\p{Script=Cyrillic}/u, uk: /\p{Script=Cyrillic}/u, bg: /\p{Script=Cyrillic}/u,
    el: /\p{Script=Greek}/u, he: /\p{Script=Hebrew}/u, hi: /\p{Script=Devanagari}/u };
  const placeOf = (character, first) => {
    const code = character.codePointAt(0);
    if (/\s/.test(character)) return placed(0, code, 0);
    const mark = MARKS.indexOf(character);
    if (mark >= 0) return placed(1, mark, 0);
    if (/\p{N}/u.test(character)) return placed(2, code, 0);
    return /\p{L}/u.test(character) ? placed(first === undefined || first.test(character) ? 3 : 4, code, 0) : placed(1, 1000 + code, 0);
  };

  const tables = new Map();
  // For a language: the key of each letter, or group of letters, of its own, and the longest group's length.
  const tableOf = (language) => {
    let table = tables.get(language);
    if (table === undefined) {
      table = { own: new Map(), longest: 1, keys: new Map(), first: FIRST[language] };
      for (const group of (OWN[language] || '').split('|').filter((each) => each !== '')) {
        let [base, letters] = group.split(':');
        let step = 0;
        for (const entry of letters.split(' ')) {
          step++;
          entry.split('=').forEach((letter, place) => {
            table.own.set(letter, { place: placed(3, base.codePointAt(0), step), accent: String.fromCharCode(place) });
            table.longest = Math.max(table.longest, letter.length);
          });
        }
      }
      tables.set(language, table);
    }
    return table;
  };

  // One letter's key: its places, accents and case as texts that compare as the letters do.
  const keyOfLetter = (character, first) => {
    const lower = character.toLowerCase();
    const like = LIKE[lower];
    const [base, ...rest] = like ?? lower.normalize('NFD');
    if (/\p{M}/u.test(base)) return { place: '', accent: base, tone: '', isMark: true };
    const tone = lower === character ? '0' : '1';
    const marks = like === undefined ? rest.join('') : '';
    const accent = like === undefined ? (marks === '' ? '\u0000' : marks) : '\u0001';
    const key = { place: placeOf(base, first), accent, tone, isPunctuation: /[\s\p{P}]/u.test(base) };
    if (like !== undefined) for (const letter of rest) { key.place += placeOf(letter, first); key.accent += '\u0001'; key.tone += tone; }
    return key;
  };

  const KEYS_KEPT = 50000;
  const keyOf = (text, collator) => {
    const { table, numeric, ignorePunctuation } = collator;
    let key = collator.keys.get(text);
    if (key !== undefined) return key;
    const folded = text.normalize('NFC');
    key = { place: '', accent: '', tone: '' };
    for (let at = 0; at < folded.length;) {
      const run = numeric && folded[at] >= '0' && folded[at] <= '9' ? /^\d+/.exec(folded.slice(at, at + 400))[0] : '';
      if (run !== '') {
        const digits = run.replace(/^0+(?=\d)/, '');
        key.place += String.fromCharCode(3, 1, digits.length + 1) + digits;
        key.accent += '\u0000';
        key.tone += '0';
        at += run.length;
        continue;
      }
      let letter;
      let length = table.own.size === 0 ? 0 : table.longest;
      for (; length > 0; length--) {
        letter = table.own.get(folded.slice(at, at + length).toLowerCase());
        if (letter !== undefined) break;
      }
      if (letter !== undefined) {
        const written = folded.slice(at, at + length);
        letter = { ...letter, tone: written === written.toLowerCase() ? '0' : '1' };
        at += length;
      } else {
        const character = String.fromCodePoint(folded.codePointAt(at));
        at += character.length;
        letter = table.keys.get(character);
        if (letter === undefined) table.keys.set(character, (letter = keyOfLetter(character, table.first)));
      }
      if (ignorePunctuation && letter.isPunctuation) continue;
      key.place += letter.place;
      key.accent += letter.accent;
      key.tone += letter.tone;
    }
    if (collator.keys.size >= KEYS_KEPT) collator.keys.clear();
    collator.keys.set(text, key);
    return key;
  };

  const makeCollator = (locales, given) => {
    const options = given === undefined ? {} : Object(given);
    const locale = localeOf(locales);
    const [language] = locale.tag.split('-');
    if (language === 'zh' || language === 'ja') throw new RangeError(`The order of ${locale.tag} is not there; there is that of every other locale here, and of the characters' codes: (a < b ? -1 : a > b ? 1 : 0)`);
    const numeric = options.numeric === undefined ? /-kn(?:-true)?(?![a-z0-9])/.test(locale.extension) : Boolean(options.numeric);
    const table = tableOf(language);
    return {
      tag: locale.tag, table, keys: new Map(), numeric,
      isPlain: !numeric && !options.ignorePunctuation && ![...table.own.keys()].some((letters) => letters < '\x80'),
      sensitivity: choice(options, 'sensitivity', ['base', 'accent', 'case', 'variant']) ?? 'variant',
      caseFirst: choice(options, 'caseFirst', ['upper', 'lower', 'false']) ?? 'false',
      ignorePunctuation: Boolean(options.ignorePunctuation),
      usage: choice(options, 'usage', ['sort', 'search']) ?? 'sort',
    };
  };

  // Texts of ASCII letters, digits and blanks alone, in small letters: their codes have the order of the languages whose
  // own letters are others. Null for other texts.
  const plains = new Map();
  const plainOf = (text) => {
    let plain = plains.get(text);
    if (plain === undefined) {
      if (plains.size >= KEYS_KEPT) plains.clear();
      plains.set(text, (plain = /^[a-z0-9 ]*$/i.test(text) ? text.toLowerCase() : null));
    }
    return plain;
  };

  const compareBy = (collator, one, other) => {
    if (one === other) return 0;
    if (collator.isPlain) {
      const left = plainOf(one);
      const right = plainOf(other);
      if (left !== null && right !== null) {
        if (left !== right) return left < right ? -1 : 1;
        if (collator.sensitivity === 'base' || collator.sensitivity === 'accent') return 0;
        return (one > other) === (collator.caseFirst === 'upper') ? 1 : -1; // small letters have larger codes, and come first
      }
    }
    const left = keyOf(one, collator);
    const right = keyOf(other, collator);
    if (left.place !== right.place) return left.place < right.place ? -1 : 1;
    const { sensitivity, caseFirst } = collator;
    if (left.accent !== right.accent && (sensitivity === 'accent' || sensitivity === 'variant')) return left.accent < right.accent ? -1 : 1;
    if (left.tone === right.tone || sensitivity === 'base' || sensitivity === 'accent') return 0;
    return (left.tone < right.tone ? -1 : 1) * (caseFirst === 'upper' ? -1 : 1);
  };

  const collators = new WeakMap();
  function Collator(locales, options) {
    if (new.target === undefined) return new Collator(locales, options);
    collators.set(this, makeCollator(locales, options));
  }
  const collatorOf = (self) => {
    const collator = collators.get(self);
    if (collator === undefined) throw new TypeError('This is not an Intl.Collator');
    return collator;
  };
  Object.defineProperties(Collator.prototype, {
    compare: { get() { const collator = collatorOf(this); return (one, other) => compareBy(collator, `${one}`, `${other}`); }, configurable: true },
    resolvedOptions: { value() {
      const { tag, numeric, sensitivity, caseFirst, ignorePunctuation, usage } = collatorOf(this);
      return { locale: tag, usage, sensitivity, ignorePunctuation, collation: 'default', numeric, caseFirst };
    } },
    [Symbol.toStringTag]: { value: 'Intl.Collator' },
  });

  const made = new Map();
  let usual; // without a locale
  const compare = (one, other, locales, options) => {
    if (locales === undefined && options === undefined) return compareBy((usual ??= makeCollator()), one, other);
    const key = options === undefined ? locales : `${locales} ${JSON.stringify(options)}`;
    let collator = made.get(key);
    if (collator === undefined) {
      if (made.size >= 100) made.clear();
      made.set(key, (collator = makeCollator(locales, options)));
    }
    return compareBy(collator, one, other);
  };
  return { Collator, compare };
}
