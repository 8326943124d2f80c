// JSON in which whole numbers stay as they are: those beyond Number.MAX_SAFE_INTEGER are BigInts in JavaScript.
//
// JSON.parse and JSON.stringify take them too. `stringify` marks them for the worker, which takes the mark (e0) away:
// so it can tell them from numbers that are not exact, such as 1e18, and writes those as the floats that they are.
(() => {
  'use strict';
  const { parse: systemParse, stringify: systemStringify, rawJSON } = JSON;
  const { apply } = Reflect;
  const { defineProperty } = Object;
  const { isSafeInteger } = Number;
  const { includes } = String.prototype;
  const Big = BigInt;
  const Text = String;
  const Fault = RangeError;
  const [SMALLEST, LARGEST] = [-(2n ** 63n), 2n ** 64n - 1n];
  const [SMALLEST_SAFE, LARGEST_SAFE] = [BigInt(Number.MIN_SAFE_INTEGER), BigInt(Number.MAX_SAFE_INTEGER)];

  const isWhole = (digits) => !apply(includes, digits, ['.']) && !apply(includes, digits, ['e']) && !apply(includes, digits, ['E']);
  const exact = (value, context) =>
    (typeof value === 'number' && !isSafeInteger(value) && isWhole(context.source) ? Big(context.source) : value);
  const revive = (key, value, context) => exact(value, context);
  const { exec } = RegExp.prototype;
  const LONG_NUMBER = /\d{16}/;
  const hasLongNumber = (text) => apply(exec, LONG_NUMBER, [text]) !== null;

  defineProperty(JSON, 'parse', {
    value: function parse(given, reviver) {
      const text = Text(given);
      if (!hasLongNumber(text)) return systemParse(text, reviver);
      if (typeof reviver !== 'function') return systemParse(text, revive);
      return systemParse(text, function (key, value, context) {
        return apply(reviver, this, [key, exact(value, context), context]);
      });
    },
    writable: true, configurable: true,
  });

  let isMarked = false;
  defineProperty(BigInt.prototype, 'toJSON', {
    value: function toJSON() {
      if (!isMarked || (this >= SMALLEST_SAFE && this <= LARGEST_SAFE)) return rawJSON(Text(this));
      if (this >= SMALLEST && this <= LARGEST) return rawJSON(`${Text(this)}e0`);
      throw new Fault(`The BigInt ${Text(this)} does not fit into 64 bits; give it as text: String(…)`);
    },
    writable: true, configurable: true,
  });

  // The JSON of a value, with marks; undefined for what JSON has not.
  const stringify = (value) => {
    isMarked = true;
    try {
      return systemStringify(value);
    } finally {
      isMarked = false;
    }
  };

  return { parse: systemParse, parseExact: (text) => systemParse(text, revive), stringify };
})()
