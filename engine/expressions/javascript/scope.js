// The items of the run, and the objects that show them and those of other nodes to expressions.
(AccessError) => {
  'use strict';
  const { defineProperty, freeze } = Object;

  // The index of the item that is worked on.
  const place = { current: 0 };

  // Another node, or the input: its items, and the one from which the current item comes.
  const viewOf = (items, pairedIndex) => {
    const view = {
      first: () => items[0],
      last: () => items[items.length - 1],
      all: () => items,
      itemMatching: (index) => items[pairedIndex(index)],
      isExecuted: true,
    };
    defineProperty(view, 'item', { get: () => items[pairedIndex(place.current)], enumerable: true });
    defineProperty(view, 'pairedItem', { value: (index) => items[pairedIndex(index ?? place.current)] });
    return view;
  };
  const wrap = (jsons) => {
    const items = [];
    for (let at = 0; at < jsons.length; at++) defineProperty(items, at, { value: { json: jsons[at] }, writable: true, enumerable: true, configurable: true });
    return items;
  };

  const scopeOf = (request, items) => {
    const views = { __proto__: null };
    const view = (name) => {
      const sent = request.nodes[name];
      if (sent === undefined || sent.error) {
        const error = sent?.error ?? { code: 'node_has_not_run', message: `No node '${name}' has run before this one.` };
        if (error.code === 'node_has_not_run') {
          return freeze({
            isExecuted: false,
            get item() { throw new AccessError(error); },
            first() { throw new AccessError(error); },
            last() { throw new AccessError(error); },
            all() { throw new AccessError(error); },
          });
        }
        throw new AccessError(error);
      }
      return views[name] ??= viewOf(wrap(sent.items), (index) => {
        const paired = sent.paired?.[index];
        if (typeof paired === 'number') return paired;
        throw new AccessError(paired ?? { code: 'pairing_unavailable', message: `Item ${index} is not there.` });
      });
    };
    const node = new Proxy({}, {
      get: (_, name) => {
        if (typeof name === 'symbol') return undefined;
        const found = view(name);
        return { get json() { return found.item.json; }, get item() { return found.item; }, isExecuted: found.isExecuted };
      },
      has: (_, name) => name in request.nodes,
    });
    const input = viewOf(items, (index) => index);
    return {
      $: view,
      $input: input,
      $node: node,
      $items: (name) => (name === undefined ? items : view(name).all()),
    };
  };

  return { place, wrap, scopeOf };
}
