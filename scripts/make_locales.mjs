// Writes engine/expressions/javascript/locales.txt: how languages write dates and numbers, as the ICU in Node.js has it.
//
// Run it when Node.js (24 or later, older ones have faults here) has a newer CLDR: `node scripts/make_locales.mjs`. The data is under the Unicode License V3, see
// engine/expressions/javascript/vendor/README.md. tests/cases/expressions/intl.json has what Node.js writes, to compare.
//
// Form: lines of a name, a tab and JSON. `locales` names the locales, each of which has a line. There `patterns` are texts
// with fields in braces, as CLDR names them ({d}, {MMMM}); `dates`, `times`, `glue` and `styles` are indexes into them. The
// order of `dates` and `times` is that of the loops below, the same as in intl.js.
import { readFileSync, writeFileSync } from 'node:fs';

const LOCALES = [
  'en-US', 'en-GB', 'en-AU', 'en-CA', 'en-IE', 'en-IN', 'en-NZ', 'en-ZA', 'de-DE', 'de-AT', 'de-CH', 'fr-FR', 'fr-BE', 'fr-CA',
  'fr-CH', 'es-ES', 'es-AR', 'es-MX', 'pt-BR', 'pt-PT', 'it-IT', 'it-CH', 'nl-NL', 'nl-BE', 'sv-SE', 'da-DK', 'nb-NO', 'fi-FI',
  'pl-PL', 'cs-CZ', 'sk-SK', 'sl-SI', 'hr-HR', 'hu-HU', 'ro-RO', 'bg-BG', 'el-GR', 'tr-TR', 'ru-RU', 'uk-UA', 'et-EE', 'lv-LV',
  'lt-LT', 'he-IL', 'id-ID', 'vi-VN', 'hi-IN', 'ja-JP', 'ko-KR', 'zh-CN', 'zh-TW',
];
const CURRENCIES = ('AED ARS AUD BGN BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR ISK JPY KRW MXN MYR NOK NZD '
  + 'PEN PHP PLN RON RUB SAR SEK SGD THB TRY TWD UAH USD VND ZAR').split(' ');
const WIDTHS = { weekday: [undefined, 'short', 'long', 'narrow'], year: [undefined, 'numeric', '2-digit'],
  month: [undefined, 'numeric', '2-digit', 'short', 'long', 'narrow'], day: [undefined, 'numeric', '2-digit'] };
const CLOCK = [undefined, 'numeric', '2-digit'];
const MOMENT = new Date(Date.UTC(2025, 2, 4, 5, 6, 7)); // every number has one digit; Tuesday, the 4th of March
const STYLES = ['full', 'long', 'medium', 'short'];

let patterns = new Map(); // of the locale that is at work
// V8 writes a plain blank where CLDR has a narrow one that does not break; so do the formats that are made of these.
const plainBlanks = (text) => text.replaceAll('\u202f', ' ');
const indexOf = (written) => {
  const pattern = plainBlanks(written);
  if (!patterns.has(pattern)) patterns.set(pattern, patterns.size);
  return patterns.get(pattern);
};

const namesOf = (locale, count, at, options, type) => Array.from({ length: count }, (_, index) =>
  new Intl.DateTimeFormat(locale, { timeZone: 'UTC', ...options }).formatToParts(at(index)).find((part) => part.type === type).value);
const month = (index) => new Date(Date.UTC(2025, index, 4));
const weekday = (index) => new Date(Date.UTC(2025, 2, 2 + index)); // the 2nd is a Sunday

const namesIn = (locale) => ({
  MMMM: namesOf(locale, 12, month, { month: 'long', day: 'numeric' }, 'month'),
  LLLL: namesOf(locale, 12, month, { month: 'long' }, 'month'),
  MMM: namesOf(locale, 12, month, { month: 'short', day: 'numeric' }, 'month'),
  LLL: namesOf(locale, 12, month, { month: 'short' }, 'month'),
  MMMMM: namesOf(locale, 12, month, { month: 'narrow' }, 'month'),
  EEEE: namesOf(locale, 7, weekday, { weekday: 'long' }, 'weekday'),
  EEE: namesOf(locale, 7, weekday, { weekday: 'short' }, 'weekday'),
  EEEEE: namesOf(locale, 7, weekday, { weekday: 'narrow' }, 'weekday'),
  a: namesOf(locale, 24, (hour) => new Date(Date.UTC(2025, 2, 4, hour)), { hour: 'numeric', hour12: true }, 'dayPeriod'),
});

const HOURS = { h11: 'K', h12: 'h', h23: 'H', h24: 'k' };
const fieldOf = ({ type, value }, names, cycle, wanted) => {
  const two = value.length === 2 ? 2 : 1;
  if (type === 'year') return value.length === 2 ? 'yy' : 'y';
  if (type === 'day') return 'd'.repeat(two);
  if (type === 'hour') return HOURS[cycle].repeat(two);
  if (type === 'minute') return 'm'.repeat(two);
  if (type === 'second') return 's'.repeat(two);
  if (type === 'dayPeriod') return 'a';
  if (type === 'timeZoneName') return wanted === 'full' ? 'zzzz' : 'z';
  const more = Object.keys(names).filter((field) => /\d/.test(field));
  if (type === 'weekday') return ['EEEE', 'EEE', 'EEEEE', ...more].find((field) => names[field][2] === value);
  if (type === 'month' && /^\d+$/.test(value)) return 'M'.repeat(two);
  const order = wanted === 'narrow' ? ['MMMMM'] : wanted === 'short' ? ['MMM', 'LLL', 'MMMM', 'LLLL'] : ['MMMM', 'LLLL', 'MMM', 'LLL'];
  if (type === 'month') return [...order, ...more].find((field) => names[field][2] === value);
  throw new Error(`${type}: ${value}`);
};

// Names that stand in none of the usual lists: another list of their own.
const moreNames = (locale, names, options, type) => {
  const list = type === 'month' ? namesOf(locale, 12, month, options, type) : namesOf(locale, 7, weekday, options, type);
  const field = `${type === 'month' ? 'L' : 'c'}${Object.keys(names).length}`;
  names[field] = list;
  return field;
};

const patternOf = (locale, names, options, wanted) => {
  const format = new Intl.DateTimeFormat(locale, { timeZone: 'UTC', ...options });
  const cycle = format.resolvedOptions().hourCycle;
  return format.formatToParts(MOMENT).map((part) => {
    if (part.type === 'literal') return part.value;
    const field = fieldOf(part, names, cycle, wanted);
    return `{${field ?? moreNames(locale, names, options, part.type)}}`;
  }).join('');
};

const datesIn = (locale, names) => {
  const found = [];
  for (const weekday of WIDTHS.weekday) for (const year of WIDTHS.year) for (const month of WIDTHS.month) for (const day of WIDTHS.day) {
    if (weekday ?? year ?? month ?? day) found.push(patternOf(locale, names, { weekday, year, month, day }, month));
    else found.push('');
  }
  return found;
};

const timesIn = (locale, names) => {
  const found = [];
  for (const hour12 of [true, false, undefined]) for (const hour of CLOCK) for (const minute of CLOCK) for (const second of CLOCK) {
    if (hour ?? minute ?? second) found.push(patternOf(locale, names, { hour, minute, second, hour12 }));
    else found.push('');
  }
  return found;
};

const joined = (whole, date, time) => {
  const glued = whole.replace(date, '{1}').replace(time, '{0}');
  return glued.includes('{1}') && glued.includes('{0}') && glued.length < 24 ? glued : null;
};

const glueIn = (locale, names) => [{ month: 'numeric' }, { month: 'short' }, { month: 'long' }, { month: 'long', weekday: 'long' }, undefined].map((more) => {
  const date = more === undefined ? { weekday: 'short' } : { year: 'numeric', day: 'numeric', ...more };
  const time = { hour: '2-digit', minute: '2-digit' };
  const [both, left, right] = [{ ...date, ...time }, date, time].map((options) => patternOf(locale, names, options, more?.month));
  const found = joined(more === undefined ? both.replace(/\{(?:EEE|c\d+)\}/, left) : both, left, right);
  if (found === null) console.warn(`${locale} glue: ${both} | ${left} | ${right}`);
  return found ?? '{1}, {0}';
});

const stylesIn = (locale, names) => {
  const dates = STYLES.map((dateStyle) => patternOf(locale, names, { dateStyle }, dateStyle === 'medium' ? 'short' : 'long'));
  const times = STYLES.map((timeStyle) => patternOf(locale, names, { timeStyle }, timeStyle));
  const glue = STYLES.map((dateStyle, at) => {
    const whole = patternOf(locale, names, { dateStyle, timeStyle: 'short' }, dateStyle === 'medium' ? 'short' : 'long');
    const found = joined(whole, dates[at], times[3]);
    if (found === null) console.warn(`${locale} style ${dateStyle}: ${whole} | ${dates[at]} | ${times[3]}`);
    return found ?? '{1}, {0}';
  });
  return [...dates, ...times, ...glue];
};

const zoneIn = (locale, names) => {
  const time = { hour: '2-digit', minute: '2-digit', hour12: false };
  const whole = patternOf(locale, names, { ...time, timeZoneName: 'short' });
  const found = whole.replace(patternOf(locale, names, time), '{0}');
  const offset = (zone) => new Intl.DateTimeFormat(locale, { timeZone: zone, timeZoneName: 'shortOffset' })
    .formatToParts(MOMENT).find((part) => part.type === 'timeZoneName').value;
  const minus = offset('Etc/GMT+5').replace(/[A-Za-z\u0400-\u04ff\d\s]/g, '');
  return [indexOf(found.includes('{0}') ? found : '{0} {z}'), offset('Etc/GMT-2').replace(/\+?2.*$/, ''), minus];
};

const numbersIn = (locale) => {
  const parts = (number, options) => new Intl.NumberFormat(locale, options).formatToParts(number);
  const of = (type, number, options) => parts(number, options).find((part) => part.type === type)?.value;
  const big = parts(-1234567890123.5, {}).filter((part) => part.type === 'integer').map((part) => part.value.length);
  const shape = (number, options) => parts(number, options).map((part) => (
    part.type === 'integer' ? '{n}' : part.type === 'currency' ? '{c}' : part.type === 'percentSign' ? '{p}' : part.type === 'minusSign' ? '{m}' : part.value)).join('');
  const money = { style: 'currency', currency: 'EUR', minimumFractionDigits: 0, maximumFractionDigits: 0 };
  const code = { ...money, currencyDisplay: 'code' };
  return {
    decimal: of('decimal', 1.5), group: of('group', 1234567), minus: of('minusSign', -1), plus: of('plusSign', 1, { signDisplay: 'always' }),
    percent: [of('percentSign', 0.5, { style: 'percent' }), shape(5, { style: 'percent', useGrouping: false }).replace(/\{n\}.*?\{n\}/, '{n}'),
      shape(-5, { style: 'percent', useGrouping: false })],
    money: [shape(5, money), shape(-5, money), shape(5, code), shape(-5, code)],
    sizes: [big.at(-1), big.at(-2)],
    least: parts(1234, {}).some((part) => part.type === 'group') ? 1 : 2,
    symbols: CURRENCIES.map((currency) => of('currency', 1, { style: 'currency', currency })),
  };
};

const FOLDER = new URL('../engine/expressions/javascript/', import.meta.url);
const ZONES = Object.keys(JSON.parse(readFileSync(new URL('zones.json', FOLDER))).zones);
const zoneNames = () => {
  const kinds = new Map();
  const zones = {};
  for (const zone of ZONES) {
    try { new Intl.DateTimeFormat('en-US', { timeZone: zone }); } catch { continue; }
    const named = (timeZoneName, moment) => new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName })
      .formatToParts(moment).find((part) => part.type === 'timeZoneName').value;
    const offset = (moment) => named('longOffset', moment);
    const [winter, summer] = [new Date(Date.UTC(2025, 0, 15)), new Date(Date.UTC(2025, 6, 15))];
    // What holds by the offset: at which one which names.
    const text = JSON.stringify(Object.fromEntries([winter, summer].map((moment) =>
      [offset(moment).replace('GMT', ''), [named('short', moment), named('long', moment)]])));
    if (!kinds.has(text)) kinds.set(text, kinds.size);
    zones[zone] = kinds.get(text);
  }
  return { zones, kinds: [...kinds.keys()].map((text) => JSON.parse(text)) };
};

// Between two, between more, before the last: for each type and style.
const listsIn = (locale) => ['conjunction', 'disjunction', 'unit'].flatMap((type) => ['long', 'short', 'narrow'].map((style) => {
  const format = new Intl.ListFormat(locale, { type, style });
  const literals = (list) => format.formatToParts(list).filter((part) => part.type === 'literal').map((part) => part.value);
  const many = literals(['A', 'B', 'C', 'D']);
  return [literals(['A', 'B'])[0], many[0], many[2]];
}));

const same = (list) => (list.slice(0, 12).every((each) => each === list[0]) && list.slice(12).every((each) => each === list[12]) ? [list[0], list[12]] : list);
const locales = {};
for (const locale of LOCALES) {
  patterns = new Map();
  const names = namesIn(locale);
  const numbers = numbersIn(locale);
  locales[locale] = {
    dates: datesIn(locale, names).map(indexOf), times: timesIn(locale, names).map(indexOf),
    glue: glueIn(locale, names).map(indexOf), styles: stylesIn(locale, names).map(indexOf), zone: zoneIn(locale, names),
    cycle: new Intl.DateTimeFormat(locale, { hour: 'numeric' }).resolvedOptions().hourCycle,
    cycle12: new Intl.DateTimeFormat(locale, { hour: 'numeric', hour12: true }).resolvedOptions().hourCycle,
    numbers, lists: listsIn(locale),
    patterns: [...patterns.keys()],
    names: { ...names, a: same(names.a.map(plainBlanks)) }, // with those that patterns have added
  };
}
const { zones, kinds } = zoneNames();
const lines = { locales: LOCALES, currencies: CURRENCIES, zones, zoneKinds: kinds, ...locales };
const written = Object.entries(lines).map(([name, value]) => `\n${name}\t${JSON.stringify(value)}`).join('');
const text = written.replace(/[\u007f-\uffff]/g, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`);
const target = process.argv[2] ?? new URL('locales.txt', FOLDER);
writeFileSync(target, text + '\n');
console.log(`${LOCALES.length} locales, ${text.length} bytes`);
