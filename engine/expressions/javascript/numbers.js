// Intl.NumberFormat and Intl.PluralRules. `support` has what intl.js shares.
(support) => {
  'use strict';
  const { lineOf, localeOf, choice } = support;
  const DIGITS_OF = { BHD: 3, IQD: 3, JOD: 3, KWD: 3, LYD: 3, OMR: 3, TND: 3, CLP: 0, ISK: 0, JPY: 0, KRW: 0, PYG: 0, UGX: 0, VND: 0, XAF: 0, XOF: 0, XPF: 0 };
  const COMPACT = [['', ''], ['K', ' thousand'], ['M', ' million'], ['B', ' billion'], ['T', ' trillion']];

  // A number as decimal digits: 12.5 is {digits: '125', point: 2}. Numbers have the shortest digits that tell them.
  const decimalOf = (value) => {
    const [mantissa, exponent = '0'] = `${value}`.replace(/^-/, '').split('e');
    const [whole, fraction = ''] = mantissa.split('.');
    const digits = `${whole}${fraction}`.replace(/^0+(?=\d)/, '');
    return { digits, point: whole.length - (whole.length + fraction.length - digits.length) + Number(exponent) };
  };

  // The first `count` digits, with half rounded away from zero.
  const rounded = ({ digits, point }, count) => {
    if (count >= digits.length) return { digits, point };
    if (count < 0) return { digits: '0', point: 1 };
    const kept = `0${digits.slice(0, count)}`;
    if (digits[count] < '5') return count === 0 ? { digits: '0', point: 1 } : { digits: kept.slice(1), point };
    const sum = `${BigInt(kept) + 1n}`.padStart(kept.length, '0');
    return sum[0] === '0' ? { digits: sum.slice(1), point } : { digits: sum, point: point + 1 };
  };

  const plain = ({ digits, point }, least, leastWhole) => {
    const padded = point <= 0 ? '0'.repeat(1 - point) + digits : digits;
    const at = point <= 0 ? 1 : point;
    const whole = padded.slice(0, at).padEnd(at, '0');
    let fraction = padded.slice(at);
    while (fraction.length > least && fraction.endsWith('0')) fraction = fraction.slice(0, -1);
    return [whole.replace(/^0+(?=\d)/, '').padStart(leastWhole, '0'), fraction.padEnd(least, '0')];
  };

  const bound = (options, name, low, high, otherwise) => {
    if (options[name] === undefined) return otherwise;
    const number = Number(options[name]);
    if (!(number >= low && number <= high)) throw new RangeError(`${name} value is out of range.`);
    return Math.floor(number);
  };

  const digitsFor = (options, style, currency, isCompact) => {
    const most = style === 'currency' ? DIGITS_OF[currency] ?? 2 : style === 'percent' ? 0 : 3;
    const least = style === 'currency' ? most : 0;
    const found = { whole: bound(options, 'minimumIntegerDigits', 1, 21, 1) };
    if (options.minimumSignificantDigits !== undefined || options.maximumSignificantDigits !== undefined) {
      found.leastSignificant = bound(options, 'minimumSignificantDigits', 1, 21, 1);
      found.mostSignificant = bound(options, 'maximumSignificantDigits', found.leastSignificant, 21, 21);
      return found;
    }
    const givenLeast = bound(options, 'minimumFractionDigits', 0, 100, undefined);
    const givenMost = bound(options, 'maximumFractionDigits', 0, 100, undefined);
    if (isCompact && givenLeast === undefined && givenMost === undefined) return { ...found, isCompact };
    found.least = givenLeast ?? Math.min(least, givenMost ?? least);
    found.most = givenMost ?? Math.max(most, found.least);
    if (found.least > found.most) throw new RangeError('maximumFractionDigits value is out of range.');
    return found;
  };

  const makeFormat = (locales, given) => {
    const options = given === undefined ? {} : Object(given);
    const locale = localeOf(locales);
    const style = choice(options, 'style', ['decimal', 'percent', 'currency', 'unit']) ?? 'decimal';
    const notation = choice(options, 'notation', locale.tag.startsWith('en') ? ['standard', 'compact'] : ['standard']) ?? 'standard';
    const currency = options.currency === undefined ? undefined : `${options.currency}`.toUpperCase();
    if (style === 'currency' && currency === undefined) throw new TypeError('Currency code is required with currency style.');
    if (currency !== undefined && !/^[A-Z]{3}$/.test(currency)) throw new RangeError(`Invalid currency code : ${currency}`);
    if (style === 'unit' && options.unit === undefined) throw new TypeError('Unit is required with unit style.');
    if (style === 'unit' && !locale.tag.startsWith('en')) throw new RangeError('The style unit is there in English only');
    choice(options, 'currencySign', ['standard']);
    choice(options, 'numberingSystem', ['latn']);
    choice(options, 'roundingMode', ['halfExpand']);
    const grouping = options.useGrouping === undefined ? 'auto' : options.useGrouping === true ? 'always' : `${options.useGrouping}`;
    const unitDisplay = choice(options, 'unitDisplay', ['long', 'short', 'narrow']) ?? 'short';
    return {
      locale, style, notation, currency, unit: options.unit, unitDisplay,
      compactDisplay: choice(options, 'compactDisplay', ['short', 'long']) ?? 'short',
      display: choice(options, 'currencyDisplay', ['symbol', 'narrowSymbol', 'code']) ?? 'symbol',
      sign: choice(options, 'signDisplay', ['auto', 'always', 'never', 'exceptZero', 'negative']) ?? 'auto',
      grouping: notation === 'compact' && options.useGrouping === undefined ? 'min2' : grouping,
      digits: digitsFor(options, style, currency, notation === 'compact'),
    };
  };

  const grouped = ({ locale, grouping }, whole) => {
    const [first, next] = locale.numbers.sizes;
    const least = grouping === 'min2' ? 2 : grouping === 'always' ? 1 : locale.numbers.least;
    if (grouping === 'false' || whole.length < first + least) return [whole];
    const groups = [whole.slice(-first)];
    for (let end = whole.length - first; end > 0; end -= next) groups.unshift(whole.slice(Math.max(0, end - next), end));
    return groups;
  };

  const roundedFor = ({ digits: { most, mostSignificant, isCompact } }, decimal) => {
    if (mostSignificant !== undefined) return rounded(decimal, mostSignificant);
    if (isCompact) return rounded(decimal, decimal.point >= 2 ? decimal.point : 2);
    return rounded(decimal, decimal.point + most);
  };

  const numberParts = (format, decimal, suffix) => {
    const { least = 0, leastSignificant, whole: leastWhole } = format.digits;
    const leastFraction = leastSignificant === undefined ? least : Math.max(0, leastSignificant - (/^0+$/.test(decimal.digits) ? 1 : decimal.point));
    const [whole, fraction] = plain(decimal, leastFraction, leastWhole);
    const parts = [];
    grouped(format, whole).forEach((value, at) => {
      if (at > 0) parts.push({ type: 'group', value: format.locale.numbers.group });
      parts.push({ type: 'integer', value });
    });
    if (fraction !== '') parts.push({ type: 'decimal', value: format.locale.numbers.decimal }, { type: 'fraction', value: fraction });
    if (suffix !== '') parts.push({ type: 'compact', value: suffix });
    return parts;
  };

  const symbolOf = ({ locale, currency, display }) => {
    const symbol = display === 'code' ? undefined : locale.numbers.symbols[lineOf('currencies').indexOf(currency)];
    if (symbol === undefined) return currency;
    return display === 'narrowSymbol' ? symbol.replace(/^[A-Z]+(?=\W$)/, '') : symbol;
  };

  const unitOf = ({ unit, unitDisplay }, text) => {
    const short = { kilometer: 'km', meter: 'm', centimeter: 'cm', kilogram: 'kg', gram: 'g', liter: 'L', hour: 'hr', minute: 'min', second: 'sec', millisecond: 'ms',
      byte: 'byte', kilobyte: 'kB', megabyte: 'MB', gigabyte: 'GB', percent: '%', celsius: '°C', fahrenheit: '°F', year: 'yr', month: 'mth', week: 'wk', day: 'day', quarter: 'qtr' };
    const isOne = text === '1';
    if (unitDisplay === 'long' && /^[a-z]+$/.test(unit)) return isOne ? ` ${unit}` : unit === 'percent' || unit === 'celsius' ? ` ${unit}` : ` ${unit}s`;
    if (unitDisplay === 'short' && short[unit] !== undefined) {
      const word = short[unit];
      return /^(?:%|°)/.test(word) ? word : ` ${word}${!isOne && ['day', 'yr', 'mth', 'wk', 'qtr'].includes(word) ? 's' : ''}`;
    }
    throw new RangeError(`The unit ${unit} is not there with unitDisplay ${unitDisplay}; there are with short: ${Object.keys(short).join(', ')}`);
  };

  const shapeOf = (format, isSigned) => {
    const { percent, money } = format.locale.numbers;
    if (format.style === 'percent') return isSigned ? percent[2] : percent[1];
    if (format.style !== 'currency') return isSigned ? '{m}{n}' : '{n}';
    const isWord = /[A-Za-z]{3}$/.test(symbolOf(format));
    return money[(isWord ? 2 : 0) + (isSigned ? 1 : 0)];
  };

  const partsOf = (format, given) => {
    const value = typeof given === 'bigint' ? given : typeof given === 'string' && /^\s*-?\d+\s*$/.test(given) ? BigInt(given) : Number(given);
    const isNegative = value < 0 || Object.is(value, -0);
    let inner;
    let isZero = false;
    if (value !== value) inner = [{ type: 'nan', value: 'NaN' }];
    else if (value === Infinity || value === -Infinity) inner = [{ type: 'infinity', value: '∞' }];
    else {
      let decimal = decimalOf(value);
      if (format.style === 'percent' && decimal.digits !== '0') decimal = { ...decimal, point: decimal.point + 2 };
      let suffix = '';
      if (format.notation === 'compact') {
        let power = Math.min(4, Math.max(0, Math.floor((decimal.point - 1) / 3)));
        let small = roundedFor(format, { ...decimal, point: decimal.point - power * 3 });
        if (small.point > 3 && power < 4) small = roundedFor(format, { ...decimal, point: decimal.point - ++power * 3 });
        decimal = small;
        suffix = COMPACT[power][format.compactDisplay === 'long' ? 1 : 0];
      } else decimal = roundedFor(format, decimal);
      isZero = /^0*$/.test(decimal.digits);
      inner = numberParts(format, decimal, suffix);
    }
    const mark = { auto: isNegative, always: true, never: false, exceptZero: !isZero, negative: isNegative && !isZero }[format.sign];
    const parts = shapeOf(format, mark).split(/(\{.\})/).filter((piece) => piece !== '').flatMap((piece) => {
      if (piece === '{n}') return inner;
      if (piece === '{m}') return [isNegative ? { type: 'minusSign', value: format.locale.numbers.minus } : { type: 'plusSign', value: format.locale.numbers.plus }];
      if (piece === '{c}') return [{ type: 'currency', value: symbolOf(format) }];
      return [piece === '{p}' ? { type: 'percentSign', value: format.locale.numbers.percent[0] } : { type: 'literal', value: piece }];
    });
    if (format.style === 'unit') parts.push({ type: 'unit', value: unitOf(format, inner.map((part) => part.value).join('')) });
    return parts;
  };
  const textOf = (format, value) => {
    let text = '';
    for (const part of partsOf(format, value)) text += part.value;
    return text;
  };

  const formats = new WeakMap();
  const formatOf = (self) => {
    const format = formats.get(self);
    if (format === undefined) throw new TypeError('This is not an Intl.NumberFormat');
    return format;
  };
  function NumberFormat(locales, options) {
    if (new.target === undefined) return new NumberFormat(locales, options);
    formats.set(this, makeFormat(locales, options));
  }
  Object.defineProperties(NumberFormat.prototype, {
    format: { get() { const format = formatOf(this); return (value) => textOf(format, value); }, configurable: true },
    formatToParts: { value(value) { return partsOf(formatOf(this), value); } },
    resolvedOptions: { value() {
      const { locale, style, currency, notation, digits, sign } = formatOf(this);
      const found = { locale: locale.tag, numberingSystem: 'latn', style, currency, minimumIntegerDigits: digits.whole, notation, signDisplay: sign };
      return Object.assign(found, { minimumFractionDigits: digits.least, maximumFractionDigits: digits.most });
    } },
    [Symbol.toStringTag]: { value: 'Intl.NumberFormat' },
  });

  class PluralRules {
    #isOrdinal;
    constructor(locales, options = {}) {
      const { tag } = localeOf(locales);
      if (!tag.startsWith('en')) throw new RangeError('Intl.PluralRules is there in English only');
      this.#isOrdinal = choice(options, 'type', ['cardinal', 'ordinal']) === 'ordinal';
    }

    select(number) {
      if (!this.#isOrdinal) return Number(number) === 1 ? 'one' : 'other';
      const [one, two] = [Math.abs(number) % 10, Math.abs(number) % 100];
      if (two >= 11 && two <= 13) return 'other';
      return one === 1 ? 'one' : one === 2 ? 'two' : one === 3 ? 'few' : 'other';
    }

    resolvedOptions() {
      return { locale: 'en-US', type: this.#isOrdinal ? 'ordinal' : 'cardinal' };
    }
  }

  return { NumberFormat, PluralRules, makeFormat, text: (value, format) => textOf(format, value) };
}
