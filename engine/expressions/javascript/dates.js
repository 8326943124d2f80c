// Date with the clock of the node run and the time zone of the workflow. `SystemDate` is the engine's own, in UTC;
// `clock` has the moment now and the zone's name; `zones` and `intl` give zones.js and intl.js when they are needed.
(SystemDate, clock, zones, intl) => {
  'use strict';
  const { apply, construct } = Reflect;
  const { defineProperty } = Object;
  const { UTC, parse: parseAsUtc } = SystemDate;
  const { prototype } = SystemDate;
  const { getTime, setTime, getUTCFullYear } = prototype;
  const MINUTE_MS = 60000;
  const LARGEST_MS = 8.64e15; // ECMA-262, 21.4.1.1
  const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
  const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
  const ZONES_OF_NO_OFFSET = { __proto__: null, UTC: 1, 'Etc/UTC': 1, GMT: 1, 'Etc/GMT': 1 };

  const offsetAt = (moment) => (clock.zone in ZONES_OF_NO_OFFSET ? 0 : zones().offsetAt(clock.zone, moment));
  const momentOf = (local) => {
    if (local !== local || clock.zone in ZONES_OF_NO_OFFSET) return local;
    const moment = zones().momentOf(clock.zone, local);
    return moment < -LARGEST_MS || moment > LARGEST_MS ? NaN : moment;
  };

  // A Date whose parts in UTC are the local ones of `date`.
  const shifted = (date) => {
    const moment = apply(getTime, date, []);
    return construct(SystemDate, [moment !== moment ? NaN : moment + offsetAt(moment) * MINUTE_MS]);
  };

  const DATE_ALONE = /^[+-]?\d{4,6}(?:-\d\d){0,2}$/;
  const WITH_ZONE = /(?:\d\s*Z|:\d\d(?:\.\d+)?\s*[+-]\d\d(?::?\d\d)?|\b(?:UTC?|GMT)(?:[+-]\d{1,2}(?::?\d\d)?)?|\b[ECMP][SD]T)\s*(?:\([^)]*\))?\s*$/i;
  // A text without a zone tells local time, except a date alone in ISO's form (ECMA-262, 21.4.1.32).
  const parse = (text) => {
    const moment = parseAsUtc(text);
    return DATE_ALONE.test(`${text}`.trim()) || WITH_ZONE.test(text) ? moment : momentOf(moment);
  };

  // ToPrimitive without a hint (ECMA-262, 7.1.1).
  const primitiveOf = (value) => {
    if ((typeof value !== 'object' || value === null) && typeof value !== 'function') return value;
    const exotic = value[Symbol.toPrimitive];
    if (typeof exotic === 'function') return apply(exotic, value, ['default']);
    const plain = value.valueOf();
    return typeof plain === 'object' || typeof plain === 'function' ? value.toString() : plain;
  };

  const momentFrom = (parts) => {
    if (parts.length === 0) return clock.now;
    if (parts.length > 1) return momentOf(apply(UTC, undefined, parts));
    if (parts[0] instanceof SystemDate) return apply(getTime, parts[0], []);
    const value = primitiveOf(parts[0]);
    return typeof value === 'string' ? parse(value) : apply(getTime, construct(SystemDate, [value]), []);
  };

  function SteadyDate(...parts) {
    if (new.target === undefined) return construct(SystemDate, [clock.now]).toString();
    return construct(SystemDate, [momentFrom(parts)], new.target);
  }
  const method = (target, name, value) => defineProperty(target, name, { value, writable: true, configurable: true });

  SteadyDate.prototype = prototype;
  method(SteadyDate, 'name', 'Date');
  method(SteadyDate, 'length', 7);
  method(SteadyDate, 'UTC', UTC);
  method(SteadyDate, 'parse', (text) => parse(`${text}`));
  method(SteadyDate, 'now', () => clock.now);
  method(prototype, 'constructor', SteadyDate);

  for (const part of ['FullYear', 'Month', 'Date', 'Day', 'Hours', 'Minutes', 'Seconds', 'Milliseconds']) {
    const get = prototype[`getUTC${part}`];
    method(prototype, `get${part}`, { [`get${part}`]() { return apply(get, shifted(this), []); } }[`get${part}`]);
    const set = prototype[`setUTC${part}`];
    if (set === undefined) continue;
    method(prototype, `set${part}`, { [`set${part}`](...values) {
      const local = shifted(this);
      apply(set, local, values);
      return apply(setTime, this, [momentOf(apply(getTime, local, []))]);
    } }[`set${part}`]);
  }

  const pad = (number, width = 2) => `${number}`.padStart(width, '0');
  const dayText = (local) => {
    const year = apply(getUTCFullYear, local, []);
    const shown = `${year < 0 ? '-' : ''}${pad(Math.abs(year), 4)}`;
    return `${DAYS[local.getUTCDay()]} ${MONTHS[local.getUTCMonth()]} ${pad(local.getUTCDate())} ${shown}`;
  };
  const timeText = (local, offset) => {
    const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60];
    const zone = `GMT${offset < 0 ? '-' : '+'}${pad(hours)}${pad(minutes)} (${clock.zone})`;
    return `${pad(local.getUTCHours())}:${pad(local.getUTCMinutes())}:${pad(local.getUTCSeconds())} ${zone}`;
  };
  const texts = {
    toString: (local, offset) => `${dayText(local)} ${timeText(local, offset)}`,
    toDateString: dayText,
    toTimeString: timeText,
  };
  for (const name of ['toString', 'toDateString', 'toTimeString']) {
    method(prototype, name, { [name]() {
      const moment = apply(getTime, this, []);
      return moment !== moment ? 'Invalid Date' : texts[name](shifted(this), offsetAt(moment));
    } }[name]);
  }
  method(prototype, 'getTimezoneOffset', function getTimezoneOffset() {
    const moment = apply(getTime, this, []);
    return moment !== moment ? NaN : 0 - offsetAt(moment);
  });
  method(prototype, 'getYear', function getYear() { return this.getFullYear() - 1900; });
  method(prototype, 'setYear', function setYear(year) {
    const number = Math.trunc(Number(year));
    return this.setFullYear(number >= 0 && number <= 99 ? 1900 + number : number);
  });
  for (const [name, required, defaults] of [['toLocaleString', 'any', 'all'], ['toLocaleDateString', 'date', 'date'], ['toLocaleTimeString', 'time', 'time']]) {
    method(prototype, name, { [name](locales, options) {
      const moment = apply(getTime, this, []);
      return moment !== moment ? 'Invalid Date' : intl().dateText(moment, locales, options, required, defaults);
    } }[name]);
  }
  return SteadyDate;
}
