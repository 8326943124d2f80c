// The part of Intl (ECMA-402) that luxon uses: time zones from the table `zones`, English words.
// Given the table, returns the object that becomes globalThis.Intl.
((zones) => {
  'use strict';
  const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];
  const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
  const QUARTER_MS = 900000;
  const MINUTE_MS = 60000;
  const LOCALE = 'en-US';

  const byFolded = new Map(Object.keys(zones.zones).map((name) => [name.toLowerCase(), name]));
  const histories = new Map();

  const zoneNamed = (name) => {
    const found = byFolded.get(String(name).toLowerCase());
    if (found === undefined) throw new RangeError(`Invalid time zone specified: ${name}`);
    return found;
  };

  // The moments (ms) at which the zone's offset (minutes east of UTC) changed, and the offsets from then on.
  const historyOf = (name) => {
    const index = zones.zones[name];
    let found = histories.get(index);
    if (found === undefined) {
      found = { moments: [], offsets: [] };
      let quarter = 0;
      for (const change of zones.offsets[index].split(' ')) {
        const [step, offset] = change.split(':');
        quarter += parseInt(step, 36);
        found.moments.push(quarter * QUARTER_MS);
        found.offsets.push(parseInt(offset, 36));
      }
      histories.set(index, found);
    }
    return found;
  };

  const offsetAt = (name, moment) => {
    const { moments, offsets } = historyOf(name);
    let low = 0;
    let high = moments.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (moments[middle] <= moment) low = middle;
      else high = middle;
    }
    return offsets[low];
  };

  const pad = (number, width) => String(number).padStart(width, '0');
  const sized = (number, size) => (size === '2-digit' ? pad(number % 100, 2) : String(number));
  const named = (names, index, size) => (size === 'long' ? names[index] : names[index].slice(0, size === 'narrow' ? 1 : 3));

  const zoneName = (offset, size) => {
    if (offset === 0) return size === 'long' ? 'Coordinated Universal Time' : 'UTC';
    const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60];
    const sign = offset < 0 ? '-' : '+';
    return size === 'long' ? `GMT${sign}${pad(hours, 2)}:${pad(minutes, 2)}` : `GMT${sign}${hours}${minutes ? `:${pad(minutes, 2)}` : ''}`;
  };

  const STYLES = {
    full: { weekday: 'long', month: 'long', day: 'numeric', year: 'numeric' },
    long: { month: 'long', day: 'numeric', year: 'numeric' },
    medium: { month: 'short', day: 'numeric', year: 'numeric' },
    short: { month: 'numeric', day: 'numeric', year: '2-digit' },
  };
  const TIME_STYLES = {
    full: { hour: 'numeric', minute: '2-digit', second: '2-digit', timeZoneName: 'long' },
    long: { hour: 'numeric', minute: '2-digit', second: '2-digit', timeZoneName: 'short' },
    medium: { hour: 'numeric', minute: '2-digit', second: '2-digit' },
    short: { hour: 'numeric', minute: '2-digit' },
  };
  const DATE_FIELDS = ['weekday', 'year', 'month', 'day', 'hour', 'minute', 'second', 'dayPeriod', 'timeZoneName', 'era'];

  class DateTimeFormat {
    constructor(locale, options = {}) {
      const wanted = { ...options, ...STYLES[options.dateStyle], ...TIME_STYLES[options.timeStyle] };
      if (!DATE_FIELDS.some((field) => wanted[field] !== undefined)) {
        Object.assign(wanted, { year: 'numeric', month: 'numeric', day: 'numeric' });
      }
      this.options = wanted;
      this.timeZone = zoneNamed(options.timeZone ?? 'UTC');
      this.hour12 = wanted.hour12 ?? (wanted.hourCycle === undefined || wanted.hourCycle.startsWith('h1'));
      if (wanted.hourCycle === 'h23' || wanted.hourCycle === 'h24') this.hour12 = false;
    }

    resolvedOptions() {
      return { locale: LOCALE, calendar: 'gregory', numberingSystem: 'latn', timeZone: this.timeZone };
    }

    format(date) {
      return this.formatToParts(date).map(({ value }) => value).join('');
    }

    formatToParts(date = new Date()) {
      const moment = Number(date);
      if (Number.isNaN(moment)) throw new RangeError('Invalid time value');
      const offset = offsetAt(this.timeZone, moment);
      const local = new Date(moment + offset * MINUTE_MS);
      const { weekday, year, month, day, hour, minute, second, era, timeZoneName } = this.options;
      const parts = [];
      const add = (before, type, value) => {
        if (before && parts.length > 0) parts.push({ type: 'literal', value: before });
        parts.push({ type, value });
      };
      const isWorded = month === 'long' || month === 'short' || month === 'narrow';
      if (weekday) add('', 'weekday', named(DAYS, local.getUTCDay(), weekday));
      if (month) add(weekday ? ', ' : '', 'month', isWorded ? named(MONTHS, local.getUTCMonth(), month) : sized(local.getUTCMonth() + 1, month));
      if (day) add(isWorded ? ' ' : month ? '/' : weekday ? ' ' : '', 'day', sized(local.getUTCDate(), day));
      if (year) {
        const shown = local.getUTCFullYear() <= 0 && era ? 1 - local.getUTCFullYear() : local.getUTCFullYear();
        add(isWorded ? (day ? ', ' : ' ') : '/', 'year', sized(shown, year));
      }
      if (era) add(' ', 'era', local.getUTCFullYear() <= 0 ? (era === 'long' ? 'Before Christ' : 'BC') : era === 'long' ? 'Anno Domini' : 'AD');
      const hours = local.getUTCHours();
      if (hour) {
        const shown = this.hour12 ? hours % 12 || 12 : hours;
        add(', ', 'hour', hour === '2-digit' || !this.hour12 ? pad(shown, 2) : String(shown));
      }
      if (minute) add(hour ? ':' : ', ', 'minute', hour || minute === '2-digit' ? pad(local.getUTCMinutes(), 2) : String(local.getUTCMinutes()));
      if (second) add(minute ? ':' : ', ', 'second', minute || second === '2-digit' ? pad(local.getUTCSeconds(), 2) : String(local.getUTCSeconds()));
      if (hour && this.hour12) add(' ', 'dayPeriod', hours < 12 ? 'AM' : 'PM');
      if (timeZoneName) add(', ', 'timeZoneName', zoneName(offset, timeZoneName));
      return parts;
    }

    static supportedLocalesOf() {
      return [LOCALE];
    }
  }

  class NumberFormat {
    constructor(locale, options = {}) {
      this.options = options;
    }

    format(number) {
      const { minimumIntegerDigits = 1, maximumFractionDigits = 3, minimumFractionDigits = 0, useGrouping = true, style, unit } = this.options;
      const rounded = Math.abs(number).toFixed(Math.max(maximumFractionDigits, minimumFractionDigits));
      let [whole, fraction = ''] = rounded.split('.');
      while (fraction.length > minimumFractionDigits && fraction.endsWith('0')) fraction = fraction.slice(0, -1);
      whole = whole.padStart(minimumIntegerDigits, '0');
      if (useGrouping) whole = whole.replace(/\B(?=(\d{3})+$)/g, ',');
      const text = (number < 0 ? '-' : '') + whole + (fraction && `.${fraction}`);
      return style === 'unit' ? `${text} ${unit}${Math.abs(number) === 1 ? '' : 's'}` : text;
    }
  }

  class ListFormat {
    format(list) {
      return [...list].join(', ');
    }
  }

  return { DateTimeFormat, NumberFormat, ListFormat };
})
