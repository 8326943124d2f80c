// Makes all that code can reach in this context unchangeable, so that one run leaves nothing there for another.
//
// `others` are objects that code can come by although nothing in the global object leads to them. One global name stays
// free, for the declaration that grammar.js parses; prelude.js empties it before each task.
(others, freeName) => {
  'use strict';
  const { freeze, getOwnPropertyDescriptor, getPrototypeOf, defineProperty, preventExtensions } = Object;
  const { ownKeys } = Reflect;
  const isObject = (value) => (typeof value === 'object' && value !== null) || typeof value === 'function';
  const seen = new Set();
  const found = [
    globalThis, ...others,
    function* () {}, async function () {}, async function* () {}, (function* () {})(), (async function* () {})(),
    [][Symbol.iterator](), ''[Symbol.iterator](), new Map()[Symbol.iterator](), new Set()[Symbol.iterator](),
    'a'.matchAll(/a/g), [].values().map((value) => value), Iterator.from({ next() {} }),
    (function () { return arguments; })(),
  ];
  while (found.length > 0) {
    const value = found.pop();
    if (!isObject(value) || seen.has(value)) continue;
    seen.add(value);
    found.push(getPrototypeOf(value));
    for (const key of ownKeys(value)) {
      const { value: member, get, set } = getOwnPropertyDescriptor(value, key);
      found.push(member, get, set);
    }
    if (value !== globalThis) freeze(value);
  }
  for (const key of ownKeys(globalThis)) {
    const { value, get } = getOwnPropertyDescriptor(globalThis, key);
    defineProperty(globalThis, key, get === undefined ? { value, writable: false, configurable: false } : { configurable: false });
  }
  defineProperty(globalThis, freeName, { value: undefined, writable: true, enumerable: true, configurable: false });
  preventExtensions(globalThis);
}
