// The part of Intl (ECMA-402) that is there: dates, numbers, lists and collation of the languages in `text`.
//
// `text` is made by scripts/make_locales.mjs; `clock.zone` is the workflow's time zone; `numbersSource` and
// `collationSource` give numbers.js and collation.js. What is not there is an error that names what is.
(text, clock, zones, numbersSource, collationSource) => {
  'use strict';
  const MINUTE_MS = 60000;
  const LOCALE = 'en-US';
  const WIDTHS = {
    weekday: [undefined, 'short', 'long', 'narrow'], year: [undefined, 'numeric', '2-digit'],
    month: [undefined, 'numeric', '2-digit', 'short', 'long', 'narrow'], day: [undefined, 'numeric', '2-digit'],
    hour: [undefined, 'numeric', '2-digit'], minute: [undefined, 'numeric', '2-digit'], second: [undefined, 'numeric', '2-digit'],
  };
  const STYLES = ['full', 'long', 'medium', 'short'];
  const ZONE_NAMES = ['short', 'long', 'shortOffset', 'longOffset', 'shortGeneric', 'longGeneric'];
  const CYCLES = { h11: 'K', h12: 'h', h23: 'H', h24: 'k' };

  // A line of the text: JSON behind a name. Only those that are asked for are parsed.
  const linesParsed = new Map();
  const lineOf = (name) => {
    let line = linesParsed.get(name);
    if (line === undefined) {
      const start = text.indexOf(`\n${name}\t`) + name.length + 2;
      linesParsed.set(name, (line = parse(text.slice(start, text.indexOf('\n', start)))));
    }
    return line;
  };
  const { parse, stringify } = JSON;
  const TAGS = lineOf('locales');
  const byTag = new Map(TAGS.map((tag) => [tag.toLowerCase(), tag]));
  for (const tag of TAGS) { // of one language the first is what it means without a region
    const [language] = tag.split('-');
    if (!byTag.has(language)) byTag.set(language, tag);
  }
  for (const [alias, tag] of [['no', 'nb-NO'], ['zh-hans', 'zh-CN'], ['zh-hant', 'zh-TW'], ['zh-hk', 'zh-TW'], ['iw', 'he-IL'], ['in', 'id-ID']]) {
    byTag.set(alias, tag);
  }

  const found = (tag) => {
    if (typeof tag !== 'string' && (typeof tag !== 'object' || tag === null)) throw new TypeError('A locale is a text such as "en-US"');
    const [plain, extension = ''] = `${tag}`.split(/-[ux](?=-)/i);
    if (!/^[a-z]{2,8}(?:[-_][a-z0-9]{1,8})*$/i.test(plain)) throw new RangeError(`Incorrect locale information provided: ${tag}`);
    const parts = plain.toLowerCase().replace(/_/g, '-').split('-');
    for (let length = parts.length; length > 0; length--) {
      const name = byTag.get(parts.slice(0, length).join('-'));
      if (name !== undefined) return { tag: name, extension: extension.toLowerCase() };
    }
    return undefined;
  };
  // The locale that is there of those that are asked for: its tag, its data, and what its extension (-u-…) says.
  const localeOf = (locales) => {
    const asked = locales === undefined ? [LOCALE] : Array.isArray(locales) ? locales : [locales];
    const match = asked.map(found).find((each) => each !== undefined) ?? (asked.length === 0 ? found(LOCALE) : undefined);
    if (match !== undefined) return { ...match, ...lineOf(match.tag) };
    throw new RangeError(`The locale ${asked.join(', ')} is not there; there are: ${TAGS.join(', ')}`);
  };

  const choice = (options, name, values) => {
    const value = options[name];
    if (value === undefined) return undefined;
    if (!values.includes(`${value}`)) {
      throw new RangeError(`Value ${value} is not there for option ${name}; there are: ${values.filter((each) => each !== undefined).join(', ')}`);
    }
    return `${value}`;
  };
  const support = { lineOf, localeOf, choice, found };

  const pad = (number, width) => `${number}`.padStart(width, '0');

  const zoneText = (locale, name, offset, style) => {
    const isUtc = name === 'UTC' || name === 'Etc/UTC';
    const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60];
    const sign = `${offset < 0 ? '-' : '+'}${pad(hours, 2)}:${pad(minutes, 2)}`;
    const names = (style === 'short' || style === 'long') && locale.tag.startsWith('en') ? lineOf('zoneKinds')[lineOf('zones')[name]]?.[sign] : undefined;
    const isLong = style.startsWith('long');
    if (isUtc && !style.endsWith('Offset')) return isLong && locale.tag.startsWith('en') ? 'Coordinated Universal Time' : 'UTC';
    if (names !== undefined && style === 'long' && locale.tag.startsWith('en')) return names[1];
    if (names !== undefined && style === 'short' && (locale.tag === LOCALE)) return names[0];
    const [, prefix, minus] = locale.zone;
    if (offset === 0) return prefix;
    const mark = offset < 0 ? minus : '+';
    return isLong ? `${prefix}${mark}${pad(hours, 2)}:${pad(minutes, 2)}` : `${prefix}${mark}${hours}${minutes ? `:${pad(minutes, 2)}` : ''}`;
  };

  const pieces = new Map();
  // A pattern as a list: texts at even places, names of fields at odd ones.
  const piecesOf = (pattern) => {
    let list = pieces.get(pattern);
    if (list === undefined) pieces.set(pattern, (list = pattern.split(/[{}]/)));
    return list;
  };

  const fieldOf = (field, local, format) => {
    const { locale, moment, offset } = local;
    const [year, hour] = [local.date.getUTCFullYear(), local.date.getUTCHours()];
    switch (field) {
      case 'y': return ['year', `${format.era && year <= 0 ? 1 - year : year}`];
      case 'yy': return ['year', pad(((year % 100) + 100) % 100, 2)];
      case 'M': case 'MM': return ['month', pad(local.date.getUTCMonth() + 1, field.length)];
      case 'd': case 'dd': return ['day', pad(local.date.getUTCDate(), field.length)];
      case 'h': case 'hh': return ['hour', pad(hour % 12 || 12, field.length)];
      case 'K': case 'KK': return ['hour', pad(hour % 12, field.length)];
      case 'H': case 'HH': return ['hour', pad(hour, field.length)];
      case 'k': case 'kk': return ['hour', pad(hour || 24, field.length)];
      case 'm': case 'mm': return ['minute', pad(local.date.getUTCMinutes(), field.length)];
      case 's': case 'ss': return ['second', pad(local.date.getUTCSeconds(), field.length)];
      case 'a': return ['dayPeriod', locale.names.a.length === 2 ? locale.names.a[hour < 12 ? 0 : 1] : locale.names.a[hour]];
      case 'z': return ['timeZoneName', zoneText(locale, format.timeZone, offset, format.fields.timeZoneName)];
      case 'zzzz': return ['timeZoneName', zoneText(locale, format.timeZone, offset, 'long')];
      case 'G': return ['era', format.era === 'long' ? (year <= 0 ? 'Before Christ' : 'Anno Domini') : format.era === 'narrow' ? (year <= 0 ? 'B' : 'A') : year <= 0 ? 'BC' : 'AD'];
      case 'S': return ['fractionalSecond', pad(((moment % 1000) + 1000) % 1000, 3).slice(0, format.fraction)];
      default: return /^[EcC]/.test(field) ? ['weekday', locale.names[field][local.date.getUTCDay()]] : ['month', locale.names[field][local.date.getUTCMonth()]];
    }
  };

  const pattern = (locale, index) => locale.patterns[index];
  const dateIndex = (fields) => ['weekday', 'year', 'month', 'day'].reduce((sum, name) => sum * WIDTHS[name].length + WIDTHS[name].indexOf(fields[name]), 0);
  const timeIndex = (fields, hour12) => ['hour', 'minute', 'second'].reduce((sum, name) => sum * 3 + WIDTHS[name].indexOf(fields[name]), hour12 === undefined ? 2 : hour12 ? 0 : 1);

  // The time's pattern: with the cycle that was asked for, fractions of seconds and the zone.
  const timePattern = (locale, fields, { hour12, cycle, fraction, isCycleAsked }) => {
    let text = pattern(locale, locale.times[timeIndex(fields, isCycleAsked ? hour12 : undefined)]);
    const letter = CYCLES[cycle];
    if (letter !== undefined) text = text.replace(/\{([hHkK]{1,2})\}/, (_, found) => `{${letter.repeat(found.length)}}`);
    if (fraction) text = fields.second ? text.replace(/\{s{1,2}\}/, (found) => `${found}${locale.numbers.decimal}{S}`) : `${text}{S}`;
    return text;
  };
  const withZone = (locale, text) => pattern(locale, locale.zone[0]).replace('{0}', text);

  const glueOf = (locale, { year, month, day, weekday }) => {
    const isWeekday = weekday !== undefined && year === undefined && month === undefined && day === undefined;
    const kind = isWeekday ? 4 : month === 'long' ? (weekday === 'long' ? 3 : 2) : month === 'short' ? 1 : 0;
    return pattern(locale, locale.glue[kind]);
  };
  const join = (glue, date, time) => glue.replace('{1}', () => date).replace('{0}', () => time);

  const patternFor = (locale, format) => {
    const { fields, styles, era } = format;
    if (styles.date !== undefined || styles.time !== undefined) {
      const date = styles.date === undefined ? '' : pattern(locale, locale.styles[STYLES.indexOf(styles.date)]);
      let time = styles.time === undefined ? '' : pattern(locale, locale.styles[4 + STYLES.indexOf(styles.time)]);
      if (time && format.isCycleAsked) {
        const hour = /\{([hHkK])\1\}/.test(time) ? '2-digit' : 'numeric';
        const other = { hour, minute: '2-digit', second: styles.time === 'short' ? undefined : '2-digit' };
        const zone = /\{z+\}/.exec(time)?.[0];
        time = timePattern(locale, other, format);
        if (zone) time = withZone(locale, time).replace('{z}', zone);
      }
      return date && time ? join(pattern(locale, locale.styles[8 + STYLES.indexOf(styles.date)]), date, time) : date || time;
    }
    let date = pattern(locale, locale.dates[dateIndex(fields)]);
    if (era) date = date ? `${date} {G}` : '{G}';
    let time = timePattern(locale, fields, format);
    if (fields.timeZoneName) {
      if (time) time = withZone(locale, time);
      else return date ? join(glueOf(locale, fields), date, '{z}') : '{z}';
    }
    return date && time ? join(glueOf(locale, fields), date, time) : date || time;
  };

  const formats = new WeakMap();
  const formatOf = (self) => {
    const format = formats.get(self);
    if (format === undefined) throw new TypeError('This is not an Intl.DateTimeFormat');
    return format;
  };

  const makeFormat = (locales, given, required, defaults) => {
    const options = given === undefined ? {} : Object(given);
    const locale = localeOf(locales);
    const fields = {};
    for (const name of Object.keys(WIDTHS)) fields[name] = choice(options, name, WIDTHS[name]);
    fields.timeZoneName = choice(options, 'timeZoneName', ZONE_NAMES);
    const styles = { date: choice(options, 'dateStyle', STYLES), time: choice(options, 'timeStyle', STYLES) };
    const fraction = options.fractionalSecondDigits === undefined ? 0 : Number(options.fractionalSecondDigits);
    if (!(fraction >= 0 && fraction <= 3)) throw new RangeError('fractionalSecondDigits value is out of range.');
    if (options.dayPeriod !== undefined) throw new RangeError('The option dayPeriod is not there; use hour12: true for AM and PM.');
    choice(options, 'calendar', ['gregory', 'iso8601']);
    choice(options, 'numberingSystem', ['latn']);
    const era = choice(options, 'era', ['short', 'long', 'narrow']);
    const timeZone = options.timeZone === undefined ? clock.zone : zones().named(options.timeZone);
    const hasStyle = styles.date !== undefined || styles.time !== undefined;
    const has = (names) => names.some((name) => fields[name] !== undefined);
    const isDate = has(['weekday', 'year', 'month', 'day']);
    const isTime = has(['hour', 'minute', 'second']) || fraction > 0;
    if (hasStyle) {
      if (isDate || isTime || era || fields.timeZoneName) throw new TypeError('dateStyle and timeStyle cannot be used with single fields, such as year or hour.');
      if (required === 'date' && styles.time !== undefined) throw new TypeError('timeStyle is for times, and this writes a date.');
      if (required === 'time' && styles.date !== undefined) throw new TypeError('dateStyle is for dates, and this writes a time.');
    } else if (!((required !== 'time' && isDate) || (required !== 'date' && isTime))) {
      if (defaults !== 'time') Object.assign(fields, { year: 'numeric', month: 'numeric', day: 'numeric' });
      if (defaults !== 'date') Object.assign(fields, { hour: 'numeric', minute: 'numeric', second: 'numeric' });
    }
    const asked = choice(options, 'hourCycle', Object.keys(CYCLES)) ?? /-hc-(h\d\d)/.exec(locale.extension)?.[1];
    const hour12 = options.hour12 === undefined ? /^h1/.test(asked ?? locale.cycle) : Boolean(options.hour12);
    const cycle = options.hour12 === undefined ? asked ?? locale.cycle : hour12 ? locale.cycle12 : 'h23';
    const format = { locale, fields, styles, era, fraction, timeZone, hour12, cycle, isCycleAsked: options.hour12 !== undefined || asked !== undefined };
    format.pattern = patternFor(locale, format);
    return format;
  };

  const partsOf = (format, date) => {
    const moment = date === undefined ? clock.now : Number(date);
    if (!(Math.abs(moment) <= 8.64e15)) throw new RangeError('Invalid time value');
    const offset = zones().offsetAt(format.timeZone, moment);
    const local = { locale: format.locale, moment, offset, date: new Date(moment + offset * MINUTE_MS) };
    const list = piecesOf(format.pattern);
    const parts = [];
    for (let at = 0; at < list.length; at++) {
      if (at % 2 === 0) {
        if (list[at] !== '') parts.push({ type: 'literal', value: list[at] });
      } else {
        const [type, value] = fieldOf(list[at], local, format);
        parts.push({ type, value });
      }
    }
    return parts;
  };
  const textOf = (format, date) => {
    let text = '';
    for (const { value } of partsOf(format, date)) text += value;
    return text;
  };

  function DateTimeFormat(locales, options) {
    if (new.target === undefined) return new DateTimeFormat(locales, options);
    formats.set(this, makeFormat(locales, options, 'any', 'date'));
  }
  const absent = (name) => function () { throw new RangeError(`${name} is not there; there are format and formatToParts.`); };
  Object.defineProperties(DateTimeFormat.prototype, {
    format: { get() { const format = formatOf(this); return (date) => textOf(format, date); }, configurable: true },
    formatToParts: { value(date) { return partsOf(formatOf(this), date); } },
    formatRange: { value: absent('formatRange') },
    formatRangeToParts: { value: absent('formatRangeToParts') },
    resolvedOptions: { value() {
      const { locale, timeZone, fields, styles, cycle, hour12 } = formatOf(this);
      const found = { locale: locale.tag, calendar: 'gregory', numberingSystem: 'latn', timeZone };
      if (fields.hour !== undefined || styles.time !== undefined) Object.assign(found, { hourCycle: cycle, hour12 });
      for (const [name, value] of Object.entries({ ...fields, dateStyle: styles.date, timeStyle: styles.time })) {
        if (value !== undefined) found[name] = value;
      }
      return found;
    } },
    [Symbol.toStringTag]: { value: 'Intl.DateTimeFormat' },
  });

  const listOf = (locale, { type = 'conjunction', style = 'long' }) => {
    const at = ['conjunction', 'disjunction', 'unit'].indexOf(type) * 3 + ['long', 'short', 'narrow'].indexOf(style);
    if (locale.lists[at] === undefined) throw new RangeError(`Value ${type} or ${style} is not there for Intl.ListFormat`);
    return locale.lists[at];
  };
  class ListFormat {
    #separators;
    #tag;
    constructor(locales, options = {}) {
      const locale = localeOf(locales);
      this.#tag = locale.tag;
      this.#separators = listOf(locale, options);
    }

    format(list) {
      return this.formatToParts(list).map(({ value }) => value).join('');
    }

    formatToParts(list) {
      const values = [...list];
      const [pair, middle, last] = this.#separators;
      return values.flatMap((value, at) => {
        const element = { type: 'element', value: `${value}` };
        if (at === 0) return [element];
        const between = values.length === 2 ? pair : at === values.length - 1 ? last : middle;
        return [{ type: 'literal', value: between }, element];
      });
    }

    resolvedOptions() {
      return { locale: this.#tag };
    }
  }

  const once = (make) => {
    let made;
    return () => (made ??= make());
  };
  const supportedLocalesOf = (locales) => (Array.isArray(locales) ? locales : [locales]).filter((tag) => found(tag) !== undefined);
  const numbers = once(() => numbersSource()(support));
  const collation = once(() => collationSource()(support));
  const there = {
    DateTimeFormat: () => DateTimeFormat, NumberFormat: () => numbers().NumberFormat, Collator: () => collation().Collator,
    ListFormat: () => ListFormat, PluralRules: () => numbers().PluralRules,
  };
  const ABSENT = ['DisplayNames', 'DurationFormat', 'Locale', 'RelativeTimeFormat', 'Segmenter'];
  // Formats by what was asked for: the same is asked for many times.
  const FORMATS_KEPT = 100;
  const keptFormats = new Map();
  const kept = (kind, locales, options, make) => {
    const key = `${kind} ${locales} ${options === undefined ? '' : stringify(options)}`;
    let format = keptFormats.get(key);
    if (format === undefined) {
      if (keptFormats.size >= FORMATS_KEPT) keptFormats.clear();
      keptFormats.set(key, (format = make()));
    }
    return format;
  };

  // Each member is made when it is first asked for.
  const members = {
    getCanonicalLocales: (locales = []) => (Array.isArray(locales) ? locales : [locales]).map((tag) => found(tag)?.tag ?? `${tag}`),
    supportedValuesOf: (key) => (key === 'currency' ? [...lineOf('currencies')] : key === 'timeZone' ? Object.keys(lineOf('zones')) : []),
  };
  for (const name of Object.keys(there)) {
    const get = () => Object.assign(there[name](), { supportedLocalesOf });
    Object.defineProperty(members, name, { get, enumerable: true, configurable: true });
  }
  const Intl = new Proxy(members, {
    get: (target, name) => {
      if (ABSENT.includes(name)) throw new RangeError(`Intl.${name} is not there; there are Intl.${Object.keys(there).join(', Intl.')}, and luxon's DateTime, Duration and Interval`);
      return target[name];
    },
  });

  return {
    Intl,
    dateText: (moment, locales, options, required, defaults) =>
      textOf(kept(`${defaults} ${clock.zone}`, locales, options, () => makeFormat(locales, options, required, defaults)), moment),
    numberText: (value, locales, options) => numbers().text(value, kept('number', locales, options, () => numbers().makeFormat(locales, options))),
    compare: (one, other, locales, options) => collation().compare(one, other, locales, options),
    upper: (text, locales) => (/^(?:tr|az)\b/i.test(`${[locales].flat()[0] ?? ''}`) ? text.replace(/i/g, 'İ') : text).toUpperCase(),
    lower: (text, locales) => (/^(?:tr|az)\b/i.test(`${[locales].flat()[0] ?? ''}`) ? text.replace(/İ/g, 'i').replace(/I/g, 'ı') : text).toLowerCase(),
  };
}
