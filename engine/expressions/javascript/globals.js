// What expressions find in the global object: the clock of the node run, dates and texts of languages, luxon, small tools.
//
// What few contexts need is made when something asks for it, from a text that the worker gives by `supply`. `parseText`
// is JSON.parse. Returns what belongs to the run: `begin` sets it, `wanted` has the names of texts that were not there.
(parseText) => {
  'use strict';
  const { defineProperty, keys } = Object;
  const { isArray } = Array;
  const { apply } = Reflect;
  const { charCodeAt } = String.prototype;
  const load = eval; // called by another name it evaluates in the global scope
  const Fault = Error;
  const SystemDate = Date;
  const hidden = (target, name, value) => defineProperty(target, name, { value, writable: true, configurable: true });

  // Clock, zone and random numbers belong to the node run, so that a repeated run gives the same values.
  const clock = { now: 0, zone: 'UTC' };
  let state = 0;

  // A member of `target` that `make` makes when it is first asked for. It can be replaced, as any other.
  const lazily = (target, name, make) => defineProperty(target, name, {
    get() {
      const value = make();
      hidden(target, name, value);
      return value;
    },
    set(value) { hidden(target, name, value); },
    configurable: true,
  });
  const once = (make) => {
    let made;
    let isMade = false;
    return () => {
      if (!isMade) [made, isMade] = [make(), true];
      return made;
    };
  };
  const texts = { __proto__: null };
  const run = { wanted: '' };
  const textNamed = (name) => {
    if (texts[name] !== undefined) return texts[name];
    run.wanted += (run.wanted === '' ? '' : ',') + name;
    throw new Fault(`${name} is not there yet`); // the task runs again, whatever becomes of this error
  };
  const theZones = once(() => load(textNamed('zones.js'))(parseText, textNamed('zones.json'), SystemDate));
  const theIntl = once(() => load(textNamed('intl.js'))(
    textNamed('locales.txt'), clock, theZones, () => load(textNamed('numbers.js')), () => load(textNamed('collation.js')),
  ));
  const theDate = once(() => load(textNamed('dates.js'))(SystemDate, clock, theZones, theIntl));
  lazily(globalThis, 'Date', theDate);
  lazily(SystemDate.prototype, 'constructor', theDate);
  lazily(globalThis, 'Intl', () => theIntl().Intl);
  delete globalThis.performance; // it has the machine's clock
  for (const { prototype } of [Number, BigInt]) {
    hidden(prototype, 'toLocaleString', function toLocaleString(locales, options) { return theIntl().numberText(this.valueOf(), locales, options); });
  }
  hidden(String.prototype, 'localeCompare', function localeCompare(other, locales, options) {
    const text = typeof other === 'string' ? other : `${other}`;
    return theIntl().compare(typeof this === 'string' ? this : `${this}`, text, locales, options);
  });
  hidden(String.prototype, 'toLocaleUpperCase', function toLocaleUpperCase(locales) {
    return locales === undefined ? `${this}`.toUpperCase() : theIntl().upper(`${this}`, locales);
  });
  hidden(String.prototype, 'toLocaleLowerCase', function toLocaleLowerCase(locales) {
    return locales === undefined ? `${this}`.toLowerCase() : theIntl().lower(`${this}`, locales);
  });

  const theLuxon = once(() => {
    const luxon = load(`${textNamed('luxon.min.js')};luxon`);
    // DateTime and Duration are ISO 8601 in JSON; an Interval would be its private members.
    hidden(luxon.Interval.prototype, 'toJSON', function toJSON() { return this.toISO(); });
    return luxon;
  });
  let luxonAt; // the moment and zone that luxon is set to
  const luxonNow = () => {
    const { Settings, DateTime } = theLuxon();
    if (luxonAt === undefined || luxonAt.now !== clock.now || luxonAt.zone !== clock.zone) {
      luxonAt = { now: clock.now, zone: clock.zone };
      Settings.throwOnInvalid = false;
      Settings.now = () => clock.now;
      Settings.defaultZone = clock.zone;
    }
    return DateTime;
  };
  for (const name of ['DateTime', 'Duration', 'Interval', 'luxon']) {
    lazily(globalThis, name, () => { luxonNow(); return name === 'luxon' ? theLuxon() : theLuxon()[name]; });
  }
  defineProperty(globalThis, '$now', { get: () => luxonNow().now() });
  defineProperty(globalThis, '$today', { get: () => luxonNow().now().startOf('day') });
  const theJmespath = once(() => {
    load(textNamed('jmespath.js'));
    return globalThis.jmespath;
  });

  const seedFrom = (text) => {
    let hash = 2166136261; // FNV-1a, 32 bits
    for (let at = 0; at < text.length; at++) hash = imul(hash ^ apply(charCodeAt, text, [at]), 16777619);
    return hash >>> 0;
  };
  const { imul, max, min } = Math;
  Math.random = () => { // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };

  const isEmpty = (value) =>
    value === undefined || value === null || value === '' ||
    (isArray(value) && value.length === 0) ||
    (typeof value === 'object' && !isArray(value) && !(value instanceof SystemDate) && keys(value).length === 0);
  const flat = (values) => (values.length === 1 && isArray(values[0]) ? values[0] : values);
  const tools = {
    $if: (condition, then, otherwise) => (condition ? then : otherwise),
    $ifEmpty: (value, otherwise) => (isEmpty(value) ? otherwise : value),
    $max: (...values) => (flat(values).length === 0 ? null : apply(max, undefined, flat(values))),
    $min: (...values) => (flat(values).length === 0 ? null : apply(min, undefined, flat(values))),
    $jmespath: (value, query) => theJmespath().search(value, query),
  };
  for (const name of keys(tools)) defineProperty(globalThis, name, { value: tools[name] });

  const begin = ({ now, timezone, seed }) => {
    clock.now = now;
    clock.zone = timezone;
    state = seedFrom(seed);
    if (luxonAt !== undefined) luxonNow();
  };
  const supply = (name, text) => { texts[name] = text; };
  return { run, begin, supply, once, textNamed, load };
}
